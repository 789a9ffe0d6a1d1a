import assert from "node:assert/strict";
import { sockets } from "../sockets.ts";

/** Listens on this machine, and does something with each connection. */
async function listening(
  serve: (connection: Deno.TcpConn) => Promise<void>,
  test: (port: number) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    for await (const connection of listener) await serve(connection);
  })();
  await test(listener.addr.port);
  listener.close();
  await served;
}

Deno.test("sockets: bytes go both ways, and a closed connection fails", async () => {
  await listening(async (connection) => {
    const buffer = new Uint8Array(10);
    const count = await connection.read(buffer) ?? 0;
    await connection.write(buffer.subarray(0, count).reverse());
    // Until the client closes it.
    assert.equal(await connection.read(buffer), null);
    connection.close();
  }, async (port) => {
    const socket = await sockets.connect("127.0.0.1", port);
    assert.equal(await socket.write(Uint8Array.of(1, 2, 3)), 3);
    const buffer = new Uint8Array(10);
    assert.equal(await socket.read(buffer), 3);
    assert.deepEqual(buffer.subarray(0, 3), Uint8Array.of(3, 2, 1));
    const waiting = socket.read(buffer);
    socket.close();
    await assert.rejects(waiting);
    await assert.rejects(socket.read(buffer));
  });
});

Deno.test("sockets: a server that is not there, or does not speak TLS", async () => {
  await listening(async (connection) => {
    await connection.read(new Uint8Array(1000));
    await connection.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    // The client's resource would be reported as a leak if it stayed.
    await connection.read(new Uint8Array(1000)).catch(() => {});
    connection.close();
  }, async (port) => {
    const socket = await sockets.connect("127.0.0.1", port);
    await assert.rejects(socket.startTls("127.0.0.1", []));
  });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(sockets.connect("127.0.0.1", port));
});
