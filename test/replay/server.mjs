// Servers to play against: one for most recordings, a fresh one for those whose
// connections see each other or whose ids count.
import net from "node:net";
import { spawn } from "node:child_process";

const children = new Set();
process.on("exit", () => {
  for (const c of children) c.kill("SIGKILL");
});
for (const s of ["SIGTERM", "SIGINT"]) process.on(s, () => process.exit(1));

const given = new Set();
async function freePort() {
  for (;;) {
    const port = await new Promise((resolve, reject) => {
      const s = net.createServer().on("error", reject);
      s.listen(0, "127.0.0.1", () => {
        const { port } = s.address();
        s.close(() => resolve(port));
      });
    });
    if (!given.has(port)) {
      given.add(port);
      return port;
    }
  }
}

/** Starts command, with {port} in it, and waits for its line READY. */
export async function start(command) {
  const port = await freePort();
  const [name, ...args] = command.replaceAll("{port}", port).split(" ").filter(Boolean);
  const child = spawn(name, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} is not ready after a minute`)), 60000);
    let out = "";
    child.stdout.on("data", (d) => {
      if ((out += d).includes("READY")) resolve(clearTimeout(timer));
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      children.delete(child);
      reject(new Error(`${name} ended with status ${code} before it was ready`));
    });
  });
  return { port, child, stop: () => child.kill("SIGKILL") };
}
