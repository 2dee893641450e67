// The official OpenAI SDK for Node.js: Chat Completions and Responses.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { QUESTION, ROUNDS, STRUCTURED_QUESTION, TOOLS, TOOLS_QUESTION, drive, instructions } from "./driving.mjs";

const VERDICT = z.object({ refund: z.boolean(), days: z.int(), reason: z.string() });
const PARAMETERS = {
  type: "object",
  properties: { number: { type: "string" } },
  required: ["number"],
  additionalProperties: false,
};

function client(ask) {
  return new OpenAI({
    baseURL: `${ask.base_url}/v1`,
    apiKey: ask.key,
    timeout: ask.timeout_s * 1000,
    maxRetries: ask.retries,
    defaultHeaders: ask.headers,
  });
}

const messages = (ask, question = QUESTION) => [
  ...(ask.system ? [{ role: "system", content: instructions(ask) }] : []),
  { role: "user", content: question },
];

const chatUsage = (usage) =>
  usage && [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens];

async function chat(ask, signal) {
  const answer = await client(ask).chat.completions.create({ model: ask.model, messages: messages(ask) }, { signal });
  const [choice] = answer.choices;
  return {
    text: choice.message.content,
    finish: choice.finish_reason,
    usage: chatUsage(answer.usage),
    id: answer.id,
    extra: answer.x_of_the_provider,
  };
}

async function chatStream(ask, signal) {
  const stream = await client(ask).chat.completions.create(
    { model: ask.model, messages: messages(ask), stream: true, stream_options: { include_usage: true } },
    { signal },
  );
  const words = [];
  let finish = null;
  let usage = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      words.push(choice.delta.content ?? "");
      finish = choice.finish_reason ?? finish;
    }
  }
  return { text: words.join(""), pieces: words.length, finish, usage: chatUsage(usage) };
}

async function chatBareStream(ask, signal) {
  const body = { model: ask.model, messages: messages(ask), stream: true };
  const chunks = [];
  for await (const chunk of await client(ask).chat.completions.create(body, { signal })) chunks.push(chunk);
  return { chunks };
}

async function chatLeave(ask) {
  const body = { model: ask.model, messages: messages(ask), stream: true };
  const stream = await client(ask).chat.completions.create(body);
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break; // leaving the loop aborts the request
  return { left: true };
}

const CHAT_TOOLS = Object.entries(TOOLS).map(([name, { description }]) => ({
  type: "function",
  function: { name, description, parameters: PARAMETERS, strict: true },
}));

async function chatTools(ask, signal) {
  const said = messages(ask, TOOLS_QUESTION);
  const called = [];
  for (let round = 0; round < ROUNDS; round++) {
    const body = { model: ask.model, messages: said, tools: CHAT_TOOLS };
    const [{ message }] = (await client(ask).chat.completions.create(body, { signal })).choices;
    if (!message.tool_calls?.length) return { text: message.content, called };
    said.push(message);
    for (const call of message.tool_calls) {
      const given = JSON.parse(call.function.arguments);
      called.push([call.function.name, given]);
      said.push({ role: "tool", tool_call_id: call.id, content: TOOLS[call.function.name].run(given) });
    }
  }
  throw new Error("the rounds have no end");
}

async function chatToolsStream(ask, signal) {
  const called = [];
  const tools = Object.entries(TOOLS).map(([name, { description, run }]) => ({
    type: "function",
    function: {
      name,
      description,
      parameters: PARAMETERS,
      parse: JSON.parse,
      function: (given) => {
        called.push([name, given]);
        return run(given);
      },
    },
  }));
  const body = { model: ask.model, messages: messages(ask, TOOLS_QUESTION), tools, stream: true };
  const runner = client(ask).chat.completions.runTools(body, { signal });
  return { text: await runner.finalContent(), called };
}

async function chatStructured(ask, signal) {
  const answer = await client(ask).chat.completions.parse(
    {
      model: ask.model,
      messages: messages(ask, STRUCTURED_QUESTION),
      response_format: zodResponseFormat(VERDICT, "verdict"),
    },
    { signal },
  );
  return { value: answer.choices[0].message.parsed };
}

const told = (ask) => (ask.system ? { instructions: instructions(ask) } : {});
const responseUsage = (usage) =>
  usage && [usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens];

async function responses(ask, signal) {
  const answer = await client(ask).responses.create({ model: ask.model, input: QUESTION, ...told(ask) }, { signal });
  return {
    text: answer.output_text,
    finish: answer.status,
    usage: responseUsage(answer.usage),
    id: answer.id,
    extra: answer.x_of_the_provider,
  };
}

async function responsesStream(ask, signal) {
  const body = { model: ask.model, input: QUESTION, stream: true, ...told(ask) };
  const words = [];
  const events = [];
  let last = null;
  for await (const event of await client(ask).responses.create(body, { signal })) {
    events.push([event.type, event.sequence_number]);
    if (event.type === "error") throw new Error(event.message); // as an app would
    if (event.type === "response.output_text.delta") words.push(event.delta);
    if (event.type === "response.completed") last = event.response;
  }
  return { text: words.join(""), pieces: words.length, finish: last?.status, usage: responseUsage(last?.usage), events };
}

async function responsesLeave(ask) {
  for await (const event of await client(ask).responses.create({ model: ask.model, input: QUESTION, stream: true })) {
    if (event.type === "response.output_text.delta") break;
  }
  return { left: true };
}

const RESPONSE_TOOLS = Object.entries(TOOLS).map(([name, { description }]) => ({
  type: "function",
  name,
  description,
  parameters: PARAMETERS,
  strict: true,
}));

async function responsesTools(ask, signal, streamed = false) {
  const input = [{ role: "user", content: TOOLS_QUESTION }];
  const called = [];
  for (let round = 0; round < ROUNDS; round++) {
    const body = { model: ask.model, input, tools: RESPONSE_TOOLS, ...told(ask) };
    const answer = streamed
      ? await client(ask).responses.stream(body, { signal }).finalResponse()
      : await client(ask).responses.create(body, { signal });
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (!calls.length) return { text: answer.output_text, called };
    for (const { call_id, name, arguments: text } of calls) {
      input.push({ type: "function_call", call_id, name, arguments: text });
    }
    for (const { call_id, name, arguments: text } of calls) {
      const given = JSON.parse(text);
      called.push([name, given]);
      input.push({ type: "function_call_output", call_id, output: TOOLS[name].run(given) });
    }
  }
  throw new Error("the rounds have no end");
}

async function responsesStructured(ask, signal) {
  const answer = await client(ask).responses.parse(
    { model: ask.model, input: STRUCTURED_QUESTION, text: { format: zodTextFormat(VERDICT, "verdict") }, ...told(ask) },
    { signal },
  );
  return { value: answer.output_parsed };
}

async function models(ask) {
  const listed = [];
  for await (const model of client(ask).models.list()) listed.push(model.id);
  return { models: listed.sort(), one: (await client(ask).models.retrieve(ask.model)).id };
}

async function embeddings(ask) {
  const answer = await client(ask).embeddings.create({ model: ask.model, input: ["one", "two"] });
  return { vectors: answer.data.map((row) => Array.from(row.embedding)) };
}

await drive({
  "chat/ask": chat,
  "chat/stream": chatStream,
  "chat/bare_stream": chatBareStream,
  "chat/leave": chatLeave,
  "chat/tools": chatTools,
  "chat/tools_stream": chatToolsStream,
  "chat/structured": chatStructured,
  "responses/ask": responses,
  "responses/stream": responsesStream,
  "responses/leave": responsesLeave,
  "responses/tools": responsesTools,
  "responses/tools_stream": (ask, signal) => responsesTools(ask, signal, true),
  "responses/structured": responsesStructured,
  models,
  embeddings,
});
