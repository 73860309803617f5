-- Takes or renews a lease.
--
-- KEYS  the lease
-- ARGV  the owner, the duration in milliseconds
-- Returns 1 if the owner has the lease now, else 0.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
