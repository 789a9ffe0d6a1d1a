import assert from "node:assert/strict";
import { canonicalRequest, EMPTY_SHA256, encodePath, sha256, signRequest } from "../sigv4.ts";

interface Vector {
  readonly name: string;
  readonly method?: string;
  /** Not encoded. */
  readonly path?: string;
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly signature: string;
}

const UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Of AWS's test suite for Signature Version 4, those that are the same with S3's rules. */
const SUITE: readonly Vector[] = [
  {
    name: "get-vanilla",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
  },
  {
    name: "get-vanilla-empty-query-key",
    query: { Param1: "value1" },
    signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
  },
  {
    name: "get-vanilla-query-order-key-case",
    query: { Param2: "value2", Param1: "value1" },
    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  },
  {
    name: "get-vanilla-query-order-encoded",
    query: { "Param-3": "Value3", Param: "Value2", "\u1234": "Value1" },
    signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
  },
  {
    name: "get-vanilla-query-unreserved",
    query: { [UNRESERVED]: UNRESERVED },
    signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
  },
  {
    name: "get-vanilla-utf8-query",
    query: { "\u1234": "bar" },
    signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
  },
  {
    name: "get-unreserved",
    path: `/${UNRESERVED}`,
    signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
  },
  {
    name: "get-utf8",
    path: "/\u1234",
    signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
  },
  {
    name: "get-space-unnormalized",
    path: "/example space/",
    signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
  },
  {
    name: "get-slashes-unnormalized",
    path: "//example//",
    signature: "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5",
  },
  {
    name: "get-header-value-order",
    headers: { "My-Header1": "value4,value1,value3,value2" },
    signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
  },
  {
    name: "get-header-value-trim",
    headers: { "My-Header1": " value1", "My-Header2": ' "a   b   c"' },
    signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  },
  {
    name: "post-header-key-case",
    method: "POST",
    headers: { "MY-HEADER1": "value1" },
    signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
  },
  {
    name: "post-header-value-case",
    method: "POST",
    headers: { "My-Header1": "VALUE1" },
    signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
  },
  {
    name: "post-x-www-form-urlencoded",
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: "Param1=value1",
    signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
];

/** The examples of S3's documentation of the Authorization header. */
const S3_EXAMPLES: readonly Vector[] = [
  {
    name: "GET Object",
    path: "/test.txt",
    headers: { range: "bytes=0-9" },
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    name: "PUT Object",
    method: "PUT",
    path: "/test$file.text",
    headers: {
      date: "Fri, 24 May 2013 00:00:00 GMT",
      "x-amz-storage-class": "REDUCED_REDUNDANCY",
    },
    body: "Welcome to Amazon S3.",
    signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  },
  {
    name: "GET Bucket Lifecycle",
    query: { lifecycle: "" },
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    name: "GET Bucket",
    query: { prefix: "J", "max-keys": "2" },
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
];

function body(vector: Vector): Promise<string> {
  return sha256(new TextEncoder().encode(vector.body ?? ""));
}

// The published signatures come out, with one header more in S3's examples.
for (const vector of SUITE) {
  Deno.test(`sigv4: ${vector.name}`, async () => {
    const { method = "GET", path = "/", query = {}, headers = {} } = vector;
    const signed = await signRequest(
      {
        ...{ method, query, headers, payload: await body(vector) },
        ...{ path: encodePath(path), host: "example.amazonaws.com" },
      },
      {
        accessKeyId: "AKIDEXAMPLE",
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "service",
      },
      new Date("2015-08-30T12:36:00.999Z"),
    );
    const names = Object.keys(headers).map((name) => name.toLowerCase());
    assert.equal(
      signed.authorization,
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " +
        `SignedHeaders=${[...names, "host", "x-amz-date"].sort().join(";")}, ` +
        `Signature=${vector.signature}`,
    );
    assert.equal(signed["x-amz-date"], "20150830T123600Z");
  });
}

for (const vector of S3_EXAMPLES) {
  Deno.test(`sigv4: S3's example of ${vector.name}`, async () => {
    const { method = "GET", path = "/", query = {}, headers = {} } = vector;
    const payload = await body(vector);
    const signed = await signRequest(
      {
        ...{ method, query, payload, path: encodePath(path) },
        host: "examplebucket.s3.amazonaws.com",
        headers: { ...headers, "x-amz-content-sha256": payload },
      },
      {
        accessKeyId: "AKIAIOSFODNN7EXAMPLE",
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "s3",
      },
      new Date("2013-05-24T00:00:00Z"),
    );
    assert(signed.authorization?.endsWith(`Signature=${vector.signature}`), signed.authorization);
  });
}

// What the suite lacks: characters that encodeURIComponent leaves, a percent sign, which S3 encodes
// once, and names of which one begins with the other.
Deno.test("sigv4: the canonical request", () => {
  const { text } = canonicalRequest({
    method: "PUT",
    host: "s3.test:9000",
    path: encodePath("/b/a+b %41/ç!'()*"),
    query: { "a-b": "2", a: "1", A: "x=y&z" },
    headers: { "X-B": "  two  words ", "x-a": "" },
    payload: EMPTY_SHA256,
  });
  assert.deepEqual(text.split("\n"), [
    "PUT",
    "/b/a%2Bb%20%2541/%C3%A7%21%27%28%29%2A",
    "A=x%3Dy%26z&a=1&a-b=2",
    "host:s3.test:9000",
    "x-a:",
    "x-b:two words",
    "",
    "host;x-a;x-b",
    EMPTY_SHA256,
  ]);
});

Deno.test("sigv4: the digest of nothing", async () => {
  assert.equal(await sha256(new Uint8Array()), EMPTY_SHA256);
});
