"""Verifies a token with PyJWT from the JWKS alone: verify_token.py JWKS TOKEN ISSUER AUDIENCE; prints the claims."""
import json
import pathlib
import sys

import jwt

jwks, token, issuer, audience = sys.argv[1:]
text = pathlib.Path(token).read_text()
keys = jwt.PyJWKSet.from_dict(json.loads(pathlib.Path(jwks).read_text()))
header = jwt.get_unverified_header(text)
key = keys[header["kid"]]
required = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"]
claims = jwt.decode(text, key, algorithms=["ES256", "EdDSA"], issuer=issuer, audience=audience,
                    options={"require": required})
assert header["typ"] == "at+jwt", header
print(json.dumps(claims))
