// Vercel's AI SDK, with its three providers: OpenAI-compatible (Chat Completions), OpenAI (Responses, its default), and
// Anthropic (Messages).
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, embedMany, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

import { QUESTION, ROUNDS, STRUCTURED_QUESTION, TOOLS, TOOLS_QUESTION, drive, instructions } from "./driving.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false; // standard output is the protocol's
const VERDICT = z.object({ refund: z.boolean(), days: z.int(), reason: z.string() });

function provider(ask) {
  const settings = { baseURL: `${ask.base_url}/v1`, apiKey: ask.key, headers: ask.headers };
  if (ask.format === "messages") return createAnthropic(settings);
  if (ask.format === "responses") return createOpenAI(settings);
  const compatible = { ...settings, name: "scripted", includeUsage: true, supportsStructuredOutputs: true };
  return createOpenAICompatible(compatible);
}

function request(ask, signal, prompt = QUESTION) {
  return {
    model: provider(ask)(ask.model),
    prompt,
    ...(ask.system ? { instructions: instructions(ask) } : {}),
    maxRetries: ask.retries,
    abortSignal: AbortSignal.any([signal, AbortSignal.timeout(ask.timeout_s * 1000)]),
  };
}

const told = (usage) => usage && [usage.inputTokens, usage.inputTokenDetails?.cacheReadTokens, usage.outputTokens];

async function whole(ask, signal) {
  const answer = await generateText(request(ask, signal));
  return { text: answer.text, finish: answer.finishReason, usage: told(answer.usage) };
}

/** Read a stream as an app does; errors come as parts of it. */
async function read(result) {
  const pieces = [];
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") pieces.push(part.text);
    if (part.type === "error") throw part.error;
    if (part.type === "abort") throw new DOMException("aborted", "AbortError");
  }
  return pieces;
}

async function stream(ask, signal) {
  const result = streamText({ ...request(ask, signal), onError: () => {} });
  const pieces = await read(result);
  return {
    text: pieces.join(""),
    pieces: pieces.length,
    finish: await result.finishReason,
    usage: told(await result.usage),
  };
}

async function leave(ask, signal) {
  const controller = new AbortController();
  const result = streamText({ ...request(ask, signal), abortSignal: controller.signal, onError: () => {} });
  for await (const part of result.fullStream) if (part.type === "text-delta") break;
  controller.abort();
  return { left: true };
}

function offered(called) {
  const number = z.object({ number: z.string() });
  return Object.fromEntries(
    Object.entries(TOOLS).map(([name, { description, run }]) => [
      name,
      tool({
        description,
        inputSchema: number,
        execute: async (given) => {
          called.push([name, given]);
          return run(given);
        },
      }),
    ]),
  );
}

async function tools(ask, signal) {
  const called = [];
  const asked = { ...request(ask, signal, TOOLS_QUESTION), tools: offered(called), stopWhen: isStepCount(ROUNDS) };
  return { text: (await generateText(asked)).text, called };
}

async function toolsStream(ask, signal) {
  const called = [];
  const asked = { ...request(ask, signal, TOOLS_QUESTION), tools: offered(called), stopWhen: isStepCount(ROUNDS) };
  const pieces = await read(streamText({ ...asked, onError: () => {} }));
  return { text: pieces.join(""), called };
}

async function structured(ask, signal) {
  const output = Output.object({ schema: VERDICT });
  return { value: (await generateText({ ...request(ask, signal, STRUCTURED_QUESTION), output })).output };
}

async function structuredStream(ask, signal) {
  const output = Output.object({ schema: VERDICT });
  const result = streamText({ ...request(ask, signal, STRUCTURED_QUESTION), output, onError: () => {} });
  let value = null;
  for await (const partial of result.partialOutputStream) value = partial;
  return { value };
}

async function embeddings(ask, signal) {
  const model = provider(ask).embeddingModel(ask.model);
  return { vectors: (await embedMany({ model, values: ["one", "two"], abortSignal: signal })).embeddings };
}

await drive({
  ask: whole,
  stream,
  leave,
  tools,
  tools_stream: toolsStream,
  structured,
  structured_stream: structuredStream,
  "chat/embeddings": embeddings,
  "responses/embeddings": embeddings,
});
