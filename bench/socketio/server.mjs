// The same hub on socket.io, with its defaults: Echo acknowledges with its
// argument, Broadcast emits Receive to everybody.
import { createServer } from "node:http";
import { Server } from "socket.io";

const [host, port] = process.argv[2].split(":");
const http = createServer();
const io = new Server(http, { path: "/bench" });
io.on("connection", (socket) => {
  socket.on("Echo", (text, answer) => answer(text));
  socket.on("Broadcast", (text) => io.emit("Receive", text));
});
http.listen(Number(port), host);
