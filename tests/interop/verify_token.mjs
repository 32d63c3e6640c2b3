// Verifies a token with jose from the JWKS alone: verify_token.mjs JWKS TOKEN ISSUER AUDIENCE; prints the claims.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [jwks, token, issuer, audience] = process.argv.slice(2);
const require = createRequire(process.env.INTEROP_DIR + '/package.json');
const { createLocalJWKSet, jwtVerify } = await import(pathToFileURL(require.resolve('jose')));
const keys = createLocalJWKSet(JSON.parse(readFileSync(jwks, 'utf8')));
const text = readFileSync(token, 'utf8');
const { payload } = await jwtVerify(text, keys, { issuer, audience, typ: 'at+jwt', requiredClaims: ['jti', 'exp'] });
console.log(JSON.stringify(payload));
