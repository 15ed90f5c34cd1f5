// Access tokens, verified by a service of somebody else's with jose and our published keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { PARLEY_TEST_URL: url, PARLEY_TEST_TOKEN: token } = process.env;
const metadata = await (await fetch(`${url}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`));
const options = { issuer: metadata.issuer, audience: "parley", typ: "at+jwt" };

test("a token verifies with the published keys", async () => {
  const { payload } = await jwtVerify(token, keys, options);
  assert.ok(payload.sub);
});

test("a token for others does not", async () => {
  await assert.rejects(jwtVerify(token, keys, { ...options, audience: "others" }), errors.JWTClaimValidationFailed);
});

test("a changed token does not", async () => {
  const [head, body, signature] = token.split(".");
  const changed = [head, body.slice(0, -2) + (body.endsWith("A") ? "BB" : "AA"), signature].join(".");
  await assert.rejects(jwtVerify(changed, keys, options), errors.JOSEError);
});
