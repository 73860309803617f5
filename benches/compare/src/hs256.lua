-- HS256 in Envoy's Lua filter, as one finds it in gateways without a JWT filter: signature, expiry,
-- user id into a header. SHA-256 is FIPS 180-4, HMAC is RFC 2104.
local bit = require("bit")
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local ror, rshift, lshift, tobit = bit.ror, bit.rshift, bit.lshift, bit.tobit

local K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local FIRST = {
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}
local W = {}

local function block(text, at, H)
  for t = 1, 16 do
    local a, b, c, d = text:byte(at, at + 3)
    W[t] = bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
    at = at + 4
  end
  for t = 17, 64 do
    local x, y = W[t - 15], W[t - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    W[t] = tobit(W[t - 16] + s0 + W[t - 7] + s1)
  end
  local a, b, c, d, e, f, g, h = H[1], H[2], H[3], H[4], H[5], H[6], H[7], H[8]
  for t = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local t1 = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + K[t] + W[t])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
  end
  H[1], H[2], H[3], H[4] = tobit(H[1] + a), tobit(H[2] + b), tobit(H[3] + c), tobit(H[4] + d)
  H[5], H[6], H[7], H[8] = tobit(H[5] + e), tobit(H[6] + f), tobit(H[7] + g), tobit(H[8] + h)
end

local function number(n)
  return string.char(band(rshift(n, 24), 255), band(rshift(n, 16), 255), band(rshift(n, 8), 255), band(n, 255))
end

local function sha256(text)
  local bits = #text * 8
  text = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. "\0\0\0\0" .. number(bits)
  local H = { unpack(FIRST) }
  for at = 1, #text, 64 do block(text, at, H) end
  local out = {}
  for n = 1, 8 do out[n] = number(H[n]) end
  return table.concat(out)
end

local function pad(secret, with)
  secret = secret .. string.rep("\0", 64 - #secret)
  return (secret:gsub(".", function(c) return string.char(bxor(c:byte(), with)) end))
end

local SECRET = "@SECRET@"
local INNER, OUTER = pad(SECRET, 0x36), pad(SECRET, 0x5c)
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local VALUES = {}
for n = 1, 64 do VALUES[ALPHABET:byte(n)] = n - 1 end

local function decode(text)
  local out, held, count = {}, 0, 0
  for n = 1, #text do
    local value = VALUES[text:byte(n)]
    if not value then return nil end
    held, count = bor(lshift(band(held, 0xffff), 6), value), count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(band(rshift(held, count), 255))
    end
  end
  return table.concat(out)
end

function envoy_on_request(request)
  local line = request:headers():get("authorization") or ""
  local input, payload, signature = line:match("^Bearer ([%w_-]+%.([%w_-]+))%.([%w_-]+)$")
  local made = input and sha256(OUTER .. sha256(INNER .. input))
  if not made or decode(signature) ~= made then
    return request:respond({ [":status"] = "401" }, "")
  end
  local claims = decode(payload) or ""
  local exp, user = claims:match('"exp":(%d+)'), claims:match('"sub":"([^"]+)"')
  if not exp or not user or tonumber(exp) < os.time() then
    return request:respond({ [":status"] = "401" }, "")
  end
  request:headers():replace("x-user-id", user)
end
