-- The load of the throughput benchmark, for wrk: chat completions as a shop's help desk gets them.
--
--   wrk -s load.lua URL -- MODEL whole|stream ["Header: value"]...
--
-- 2,000 different sentences, each with an order number drawn anew for every request: no request comes twice, so that no
-- memo of a gateway's can answer for it. All sentences begin and end differently, and the length of the number is
-- fixed, so that each request is three strings joined.

local openings = {
  "Hello, I have a question about %s:",
  "Hi there, it is about %s.",
  "Good morning, my concern is %s.",
  "I am writing because of %s,",
  "Can somebody help me with %s?",
  "Once more about %s!",
  "My mother asked me to write about %s;",
  "This is the third time I contact you about %s.",
  "Dear team, regarding %s,",
  "Quick one on %s -",
  "I am really disappointed with %s.",
  "Thanks for the fast reply on %s, but",
  "Yesterday I opened the parcel with %s and",
  "Before I buy again, about %s:",
  "On the phone nobody could help with %s.",
  "As I said in the chat about %s,",
  "I found your mail on %s in my spam folder,",
  "We are a small company and for %s",
  "Please look into %s for me,",
  "Not sure if I am right here with %s,",
}
local things = {
  "the blue jacket", "my coffee machine", "the garden chairs", "two birthday presents", "the wireless headphones",
  "a pair of running shoes", "the gift card", "my newsletter subscription", "the standing lamp", "the baby monitor",
}
local wishes = {
  "where is the parcel now, it should have come on Monday, order ",
  "I want my money back for it, the order number is ",
  "how can I send it back and who pays for the label, order ",
  "it arrived broken and one screw is missing, order no ",
  "I need an invoice with our VAT number for order ",
  "the card was charged twice, please check order ",
  "I cannot log in any more to change the address of order ",
  "does the guarantee cover this after fourteen months, bought with order ",
  "please cancel it before it is shipped, order ",
  "could you swap it for a larger size, my order is ",
}

local path, headers, before, after = nil, {}, {}, nil

function init(args)
  local model, form = args[1], args[2]
  headers["Content-Type"] = "application/json"
  for i = 3, #args do
    local name, value = args[i]:match("^([^:]+):%s*(.*)$")
    headers[name] = value
  end
  after = '"}],"temperature":0.2'
  if form == "stream" then after = after .. ',"stream":true' end
  after = after .. "}"
  local lead = '{"model":"' .. model .. '","messages":['
    .. '{"role":"system","content":"You are the assistant of an online shop."},{"role":"user","content":"'
  for _, opening in ipairs(openings) do
    for _, thing in ipairs(things) do
      for _, wish in ipairs(wishes) do
        local body = lead .. opening:format(thing) .. " " .. wish
        local size = #body + 8 + #after
        headers["Content-Length"] = size
        local whole = wrk.format("POST", wrk.path, headers, ("x"):rep(size))
        before[#before + 1] = whole:sub(1, #whole - size) .. body
      end
    end
  end
  math.randomseed(os.time())
end

function request()
  return before[math.random(#before)] .. math.random(10000000, 99999999) .. after
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "RESULT requests=%d duration_us=%d refused=%d broken=%d p50_us=%d p99_us=%d\n",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
