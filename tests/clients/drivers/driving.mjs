// How a client library is driven; the counterpart of driving.py, line by line the same protocol.
import { createInterface } from "node:readline";

export const QUESTION = "Where is my parcel – order 4711? 📦";
const SYSTEM = "You are Ada.\nBe brief – “always”.";
export const TOOLS_QUESTION = "Where are my orders 4711 and 4712?";
export const STRUCTURED_QUESTION = "Is that a refund?";
export const ROUNDS = 8;

/** The app's own system text, or the empty string. */
export const instructions = (ask) => SYSTEM.repeat(Number(ask.system));

export const TOOLS = {
  find_order: { description: "Find an order by its number.", run: ({ number }) => `order ${number} – sent 📦` },
  find_parcel: { description: "Find the parcel of an order.", run: ({ number }) => `parcel of ${number} at the depot` },
};

/** Do what standard input asks, until it ends. A case takes the ask and a signal that cancels it. */
export async function drive(cases) {
  console.log(JSON.stringify({ cases: Object.keys(cases).sort() }));
  let cancel = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const given = JSON.parse(line);
    if (given.cancel) {
      cancel?.abort();
      continue;
    }
    const controller = (cancel = new AbortController());
    const run = cases[`${given.format}/${given.case}`] ?? cases[given.case];
    run(given, controller.signal)
      .then((seen) => ({ seen }), (error) => ({ raised: describe(error) }))
      .then((outcome) => console.log(JSON.stringify({ ...outcome, number: given.number })));
  }
}

/** Return what an app learns from an error: its classes, its status, its words. */
function describe(error) {
  const classes = [];
  for (let kind = error?.constructor; kind?.name && kind !== Object; kind = Object.getPrototypeOf(kind)) {
    classes.push(kind.name);
  }
  const headers = error?.headers ?? error?.responseHeaders;
  return {
    class: classes[0],
    classes,
    name: error?.name,
    status: error?.status ?? error?.statusCode ?? null,
    says: String(error?.message),
    retry_after: headers?.get ? headers.get("retry-after") : (headers?.["retry-after"] ?? null),
  };
}
