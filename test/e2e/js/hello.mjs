// The client's half of the README's first example.
import signalR from "@microsoft/signalr";

// README:
const chat = new signalR.HubConnectionBuilder().withUrl("http://localhost:8080/chat").build();
chat.on("ReceiveMessage", (m) => console.log(`${m.User}: ${m.Text}`));
await chat.start();
await chat.invoke("Send", { User: "ann", Text: "hello" });
await chat.stop();
