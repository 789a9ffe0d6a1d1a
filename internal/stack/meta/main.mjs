// Serves Supabase's postgres-meta on a free port of the loopback interface, until the
// standard input ends, as it does when the process that started this one is gone. It
// prints the port.
import { build } from "@supabase/postgres-meta/dist/server/app.js";

process.stdin.on("end", () => process.exit()).on("error", () => process.exit()).resume();
const app = build();
await app.listen({ host: "127.0.0.1", port: 0 });
console.log(app.server.address().port);
