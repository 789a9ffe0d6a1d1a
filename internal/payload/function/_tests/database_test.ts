import assert from "node:assert/strict";
import { isPrivate, parseUrl, type Target } from "../database.ts";
import { PostgresProblem } from "../postgres.ts";

const PLAIN: Target = {
  hostname: "db",
  port: 5432,
  user: "postgres",
  password: "",
  database: "postgres",
  options: null,
  encryption: "preferred",
};

Deno.test("database: what a URL says", () => {
  const known: Record<string, Partial<Target>> = {
    "postgres://postgres@db": {},
    "postgresql://postgres@db:5432/": {},
    "postgresql://postgres:p%40%2F%3f%23%25%3A%20é@db:6543/app": {
      password: "p@/?#%: é",
      port: 6543,
      database: "app",
    },
    "postgresql://a%40b:x@db/a%20b%2Fc": { user: "a@b", password: "x", database: "a b/c" },
    "postgresql://postgres:p@ss@db": { password: "p@ss" },
    "postgresql://postgres:[YOUR-PASSWORD]@db": { password: "[YOUR-PASSWORD]" },
    "postgresql://postgres@[::1]:5433/x": { hostname: "::1", port: 5433, database: "x" },
    "postgresql://postgres@[2600:1f16::1]": { hostname: "2600:1f16::1", encryption: "required" },
    "postgresql://postgres@127.0.0.1?sslmode=disable": {
      hostname: "127.0.0.1",
      encryption: "off",
    },
    "postgresql://postgres@supabase_db_app?sslmode=prefer": { hostname: "supabase_db_app" },
    "postgresql://postgres@db?sslmode=require": { encryption: "required" },
    "postgresql://postgres@db?sslmode=verify-ca": { encryption: "required" },
    "postgresql://postgres@db?sslmode=verify-full&pgbouncer=true&connect_timeout=9": {
      encryption: "required",
    },
    "postgresql://postgres@db.abcdefghijklmnopqrst.supabase.co/postgres?sslmode=prefer": {
      hostname: "db.abcdefghijklmnopqrst.supabase.co",
      encryption: "required",
    },
    "postgresql://postgres.abc:x@aws-0-eu.pooler.supabase.com:6543/postgres?options=reference%3Dabc":
      {
        hostname: "aws-0-eu.pooler.supabase.com",
        port: 6543,
        user: "postgres.abc",
        password: "x",
        options: "reference=abc",
        encryption: "required",
      },
  };
  for (const [url, want] of Object.entries(known)) {
    assert.deepEqual(parseUrl(url), { ...PLAIN, ...want }, url);
  }
});

// Nothing of a URL that cannot be used is repeated: any part of it may be the password's.
Deno.test("database: URLs that cannot be used", () => {
  const refused: Record<string, RegExp> = {
    "": /parsed/,
    "canary": /parsed/,
    "postgresql://postgres:canary@": /parsed|host/,
    "postgresql://postgres:canary@db:canary": /parsed/,
    "postgresql://postgres:canary@db:70000": /parsed/,
    "postgresql://postgres:canary@db:0": /port/,
    "postgresql://:canary@db": /user/,
    "postgresql://db/canary": /user/,
    "postgresql:/canary": /host/,
    "http://postgres:canary@db": /postgresql:\/\//,
    "postgresql://postgres:canary/x@db": /encode|parsed/,
    "postgresql://postgres:canary?x@db": /encode|parsed/,
    "postgresql://postgres:canary#x@db": /encode|parsed/,
    "postgresql://postgres:1/canary@db": /encode/,
    "postgresql://postgres:1?canary@db": /encode/,
    "postgresql://postgres@db/x#canary": /encode/,
    "postgresql://postgres:canary%@db": /%25/,
    "postgresql://postgres:canary%ff@db": /%25/,
    "postgresql://postgres:canary%00@db": /zero byte/,
    "postgresql://postgres@db/x?options=canary%00": /zero byte/,
    "postgresql://postgres:canary@db,canary": /one host/,
    "postgresql://postgres:canary@db?sslmode=allow": /sslmode/,
    "postgresql://postgres:canary@db?sslmode=canary": /sslmode/,
    "postgresql://postgres:canary@db?canary=1": /not supported/,
    "postgresql://postgres:canary@db?host=canary.example": /not supported/,
    "postgresql://postgres:canary@db?sslrootcert=canary": /not supported/,
  };
  for (const [url, want] of Object.entries(refused)) {
    const problem = parseUrl(url);
    assert(problem instanceof PostgresProblem, url);
    assert.equal(problem.code, "database_url", url);
    assert.match(problem.message, want, url);
    assert(!problem.message.includes("canary"), problem.message);
  }
  for (const host of ["db.example.com", "8.8.8.8", "1234567890"]) {
    const problem = parseUrl(`postgresql://postgres:canary@${host}?sslmode=disable`);
    assert(problem instanceof PostgresProblem && problem.code === "database_tls", host);
  }
});

// Without encryption, the password's proof and the rows go to hosts only that are not in the internet.
Deno.test("database: hosts in a private network", () => {
  const hosts =
    "db supabase_db_app-1 localhost localhost. host.docker.internal db.local x.lan x.home.arpa " +
    "127.0.0.1 127.9.9.9 10.0.0.1 192.168.1.1 172.16.0.1 172.31.255.1 ::1 fd00::1 fc12:3::4 FE80::1";
  for (const host of hosts.split(" ")) assert(isPrivate(host), host);
  const others =
    "db.example.com example.com. 8.8.8.8 172.15.0.1 172.32.0.1 192.169.0.1 11.0.0.1 1.10.0.0.1 " +
    "10.0.0.1.example.com 127.0.0.1.nip.io 134744072 0x08080808 0 2600::1 ::ffff:8.8.8.8 " +
    "fd.example.com internal.example.com xlocal.example ::2 fd";
  for (const host of others.split(" ")) assert.equal(isPrivate(host), host === "fd", host);
});
