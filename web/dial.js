// From the address of a hub to an open WebSocket: negotiate, then connect.

const negotiateTimeout = 10_000;

/**
 * @param {URL} url of the hub, http or https
 * @param {AbortSignal} signal gives up
 * @param {(note: string, raw?: string) => void} note is told what happened
 * @returns {Promise<WebSocket>} open, and without listeners
 */
export async function dial(url, signal, note) {
  const token = await negotiate(url, signal, note);
  const at = new URL(url);
  at.protocol = at.protocol === "https:" ? "wss:" : "ws:";
  at.searchParams.set("id", token);
  if (signal.aborted) throw signal.reason;
  const socket = new WebSocket(at);
  socket.binaryType = "arraybuffer";
  /** @type {() => void} */
  let giveUp = () => {};
  try {
    await new Promise((resolve, reject) => {
      giveUp = () => reject(signal.reason);
      signal.addEventListener("abort", giveUp);
      socket.onopen = resolve;
      socket.onclose = () => reject(new Error("the WebSocket does not open"));
    });
  } catch (err) {
    socket.close();
    throw err;
  } finally {
    signal.removeEventListener("abort", giveUp);
    socket.onopen = socket.onclose = null;
  }
  note("WebSocket open");
  return socket;
}

/**
 * Asks the hub for a connection.
 * @param {URL} url @param {AbortSignal} signal @param {(note: string, raw?: string) => void} note
 * @returns {Promise<string>} its token
 */
async function negotiate(url, signal, note) {
  const at = new URL(url);
  at.pathname = at.pathname.replace(/\/?$/, "/negotiate");
  at.searchParams.set("negotiateVersion", "1");
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error("negotiate: no answer")), negotiateTimeout);
  const giveUp = () => late.abort(signal.reason);
  signal.addEventListener("abort", giveUp);
  try {
    const res = await fetch(at, { method: "POST", signal: late.signal });
    if (!res.ok) throw new Error(`negotiate: ${res.status} ${res.statusText}`);
    const body = await res.text();
    note(`POST ${at.pathname}${at.search}`, body);
    const answer = JSON.parse(body);
    if (answer.error) throw new Error(`negotiate: ${answer.error}`);
    const transports = /** @type {{ transport: string }[]} */ (answer.availableTransports ?? []);
    if (!transports.some((t) => t.transport === "WebSockets")) throw new Error("negotiate: the hub offers no WebSockets");
    return answer.connectionToken ?? answer.connectionId;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}
