// routerFeedback(token, metric, value, more): what a user says about an answer, by the token that came with the answer.
// Sent again it counts once. Goes out even while the page is being left. Returns a promise of what the router said.
(() => {
  const url = document.currentScript.src.replace(/\.js([?#].*)?$/, "");
  globalThis.routerFeedback = async (token, metric, value, more) => {
    const id = "web_" + Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");
    const body = JSON.stringify({ id, token, metric, value, ...more });
    const send = () => fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" });
    const answer = await send().catch(send); // as text/plain, which needs no preflight
    return answer.json();
  };
})();
