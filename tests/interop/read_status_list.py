"""Reads a status list token as draft-ietf-oauth-status-list section 8.3 says, from the JWKS alone.

read_status_list.py JWKS TOKEN ISSUER URI INDEX   prints the status at the index
read_status_list.py --vector                      reads the draft's own test vector of two bits
"""
import base64
import json
import pathlib
import sys
import zlib

import jwt
from jwt.algorithms import OKPAlgorithm

# The draft's appendix "Test vectors for Status List encoding", two bits, size 2^20.
VECTOR = (
    "eNrt2zENACEQAEEuoaBABP5VIO01fCjIHTMStt9ovGVIAAAAAABAbiEBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEB5"
    "WwIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAID0ugQAAAAAAAAAAAAAAAAAQG12SgAAAAAAAAAAAAAAAAAAAAAAAAAAAOCSIQEAAAAAAAAAAAAAAAAAAAAAAAD8ExIA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwJEuAQAAAAAAAAAAAAAAAAAAAAAAAMB9SwIAAAAAAAAAAAAAAAAAAACoYUoA"
    "AAAAAAAAAAAAAEBqH81gAQw"
)
STATUSES = {0: 1, 1993: 2, 25460: 1, 159495: 3, 495669: 1, 554353: 1, 645645: 2, 723232: 1, 854545: 1, 934534: 2,
            1000345: 3}


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def unpacked(lst):
    """The list's bytes (section 4.2)."""
    return zlib.decompress(decode(lst))


def status_at(raw, bits, index):
    """The status at an index: bits are counted from the least significant one (section 4.1)."""
    assert bits in (1, 2, 4, 8), bits
    per_byte = 8 // bits
    if not 0 <= index < len(raw) * per_byte:
        raise ValueError(f"index {index} is out of bounds")
    return raw[index // per_byte] >> (index % per_byte * bits) & ((1 << bits) - 1)


# RFC 9864 names the algorithm that PyJWT knows as EdDSA only.
jwt.register_algorithm("Ed25519", OKPAlgorithm())


def read(jwks, token, issuer, uri, index):
    text = pathlib.Path(token).read_text()
    header = jwt.get_unverified_header(text)
    assert header["typ"] == "statuslist+jwt", header
    [jwk] = [key for key in json.loads(pathlib.Path(jwks).read_text())["keys"] if key["kid"] == header["kid"]]
    assert jwk.pop("alg") == header["alg"], jwk
    key = jwt.PyJWK(jwk).key
    claims = jwt.decode(text, key, algorithms=[header["alg"]], issuer=issuer, subject=uri,
                        options={"require": ["iss", "sub", "iat", "exp"]})
    assert claims["sub"] == uri, claims["sub"]
    assert 0 < claims["ttl"] <= 15 and claims["exp"] - claims["iat"] <= 60, claims
    assert set(claims["status_list"]) == {"bits", "lst"}, claims["status_list"]
    return status_at(unpacked(claims["status_list"]["lst"]), claims["status_list"]["bits"], index)


if sys.argv[1:] == ["--vector"]:
    vector = unpacked(VECTOR)
    for at in range(0, 2**20, 7):
        assert status_at(vector, 2, at) == STATUSES.get(at, 0), at
    for at, status in STATUSES.items():
        assert status_at(vector, 2, at) == status, at
else:
    print(read(*sys.argv[1:5], int(sys.argv[5])))
