//! A connection to Redis for history, and what is run there.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult};

use super::keys::Keys;

/// Takes away the marks whose time is over; whether any is left. By the server's own clock: those of
/// nodes may differ.
const MARKED: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function is_marked()
  local marked = false
  local state = redis.call('HGETALL', KEYS[2])
  for at = 1, #state, 2 do
    if string.sub(state[at], 1, 2) == 'm:' then
      if tonumber(state[at + 1]) > now then marked = true
      else redis.call('HDEL', KEYS[2], state[at]) end
    end
  end
  return marked
end
";

/// `valid token wanted limit kept_ms` -> `page|miss|busy`, whether the page is all | the token, rows.
const LOOK: &str = r"
if is_marked() then return {'busy', '', {}} end
local state = redis.call('HMGET', KEYS[2], 'valid', 'rows', 'all', 'fill')
if state[1] == ARGV[1] then
  local rows, limit = tonumber(state[2]), tonumber(ARGV[4])
  local is_enough = state[3] == '1' or rows >= tonumber(ARGV[3])
  if is_enough and redis.call('ZCARD', KEYS[1]) == rows then
    local page = redis.call('ZREVRANGE', KEYS[1], 0, limit - 1)
    return {'page', (state[3] == '1' and rows <= limit) and '1' or '0', page}
  end
end
local token = state[4]
if not token then
  token = ARGV[2]
  redis.call('HSET', KEYS[2], 'fill', token)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {'miss', token, {}}
";

/// `valid token all kept_ms (time row)*` -> whether it was kept.
const FILL: &str = r"
if is_marked() or redis.call('HGET', KEYS[2], 'fill') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
local rows = (#ARGV - 4) / 2
for at = 1, rows do
  redis.call('ZADD', KEYS[1], ARGV[3 + 2 * at], ARGV[4 + 2 * at])
end
redis.call('HSET', KEYS[2], 'valid', ARGV[1], 'rows', rows, 'all', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
";

/// `token life_ms kept_ms`
const BEGIN: &str = r"
is_marked()
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'valid', 'rows', 'all', 'fill')
redis.call('HSET', KEYS[2], 'm:' .. ARGV[1], now + tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
";

/// `token`
const END: &str = r"
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'valid', 'rows', 'all', 'fill', 'm:' .. ARGV[1])
return 1
";

/// The names under which the server has what is run there.
#[derive(Debug)]
struct Names {
    look: String,
    fill: String,
    begin: String,
    end: String,
}

/// See the module; cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    names: Arc<Names>,
    /// What is valid on this run of the server, for this version of rows.
    suffix: Arc<str>,
}

impl Link {
    /// Connects, and brings the scripts.
    pub(super) async fn open(client: &Client, limit: Duration) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut ask = redis::pipe();
        for script in [LOOK, FILL, BEGIN, END] {
            ask.cmd("SCRIPT").arg("LOAD").arg(format!("{MARKED}{script}"));
        }
        ask.cmd("INFO").arg("server");
        let (look, fill, begin, end, info): (String, String, String, String, String) =
            ask.query_async(&mut connection).await?;
        let names = Arc::new(Names { look, fill, begin, end });
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        // Without one, nothing that another connection has kept is valid.
        let run = run.map_or_else(super::new_token, |run| run.trim().to_owned());
        let suffix = format!("{run}:{}", env!("CARGO_PKG_VERSION")).into();
        Ok(Self { connection, names, suffix })
    }

    /// What a set is marked with that is valid under this generation.
    pub(super) fn valid(&self, generation: &str) -> String {
        format!("{generation}:{}", self.suffix)
    }

    pub(super) fn look(&self, keys: &Keys) -> Cmd {
        script(&self.names.look, keys)
    }

    pub(super) fn fill(&self, keys: &Keys) -> Cmd {
        script(&self.names.fill, keys)
    }

    pub(super) fn begin(&self, keys: &Keys) -> Cmd {
        script(&self.names.begin, keys)
    }

    pub(super) fn end(&self, keys: &Keys) -> Cmd {
        script(&self.names.end, keys)
    }

    pub(super) async fn run<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.connection).await
    }

    pub(super) async fn run_all(&mut self, commands: &Pipeline) -> RedisResult<()> {
        commands.query_async(&mut self.connection).await
    }
}

fn script(name: &str, keys: &Keys) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(name).arg(2).arg(&keys.rows).arg(&keys.state);
    command
}
