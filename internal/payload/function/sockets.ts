/** The runtime's connections, for postgres.ts. */

import type { Socket, Sockets } from "./postgres.ts";

export const sockets: Sockets = {
  async connect(hostname, port) {
    const connection = await Deno.connect({ hostname, port });
    return {
      ...plain(connection),
      async startTls(hostname, caCerts) {
        const secure = await Deno.startTls(connection, { hostname, caCerts });
        try {
          await secure.handshake();
        } catch (error) {
          secure.close();
          throw error;
        }
        return {
          ...plain(secure),
          startTls: () => Promise.reject(new Error("the connection is encrypted already")),
        };
      },
    };
  },
};

function plain(connection: Deno.Conn): Omit<Socket, "startTls"> {
  return {
    read: (buffer) => connection.read(buffer),
    write: (bytes) => connection.write(bytes),
    close: () => connection.close(),
  };
}
