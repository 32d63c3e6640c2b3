// Reads a status list token with @sd-jwt/jwt-status-list, once jose has verified it from the JWKS alone:
// read_status_list.mjs JWKS TOKEN ISSUER URI INDEX; prints the status at the index.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [jwks, token, issuer, uri, index] = process.argv.slice(2);
const require = createRequire(process.env.INTEROP_DIR + '/package.json');
const { createLocalJWKSet, jwtVerify } = await import(pathToFileURL(require.resolve('jose')));
const { getListFromStatusListJWT } = require('@sd-jwt/jwt-status-list');
const keys = createLocalJWKSet(JSON.parse(readFileSync(jwks, 'utf8')));
const text = readFileSync(token, 'utf8');
await jwtVerify(text, keys, { issuer, subject: uri, typ: 'statuslist+jwt', requiredClaims: ['iat', 'exp', 'ttl'] });
console.log(getListFromStatusListJWT(text).getStatus(Number(index)));
