//! The reference of commands, flags and variables.

/// What `galo --help` prints.
pub const HELP: &str = "\
galo: a bank ledger and payments gateway (Rinha de Backend 2024/Q1 and 2025) in
one small io_uring binary

usage:
  galo [serve] [flags]              serve the API (the default)
  galo check [--data DIR]           verify a data directory, change nothing;
                                    exit 1 at the first damage
  galo healthcheck [--url URL]      ask a running server how it is: exit 0 or 1;
                                    HOST:PORT, http://HOST:PORT/PATH, unix:/PATH
                                    [the first address of GALO_LISTEN]
  galo help | version               also --help, --version

flags of serve, each once, with its environment variable and default; words and
units in any case, on and off also as yes and no, true and false, 1 and 0:
  --listen ADDR      where to listen: HOST:PORT or unix:/PATH; may be repeated
                     [GALO_LISTEN, separated by commas; 127.0.0.1:9999]
  --data DIR         where accounts and journal are kept; made if missing
                     [GALO_DATA; ./data]
  --cores N          threads, each with sockets and shards of its own
                     [GALO_CORES; what the process may use, cgroup quota too]
  --pin[=on|off]     keep thread N on the Nth CPU that the process may use
                     [GALO_PIN; off]
  --io DRIVER        auto, uring or epoll: auto is uring, or epoll where the
                     kernel refuses io_uring
                     [GALO_IO; auto]
  --durability D     process: a reply leaves once its journal write has reached
                     the kernel, and survives kill -9 (fdatasync follows within
                     100 ms); disk: after fdatasync, and survives a power loss
                     [GALO_DURABILITY; process]
  --clients FILE     the clients of a new data directory: a JSON list of
                     {\"id\":1,\"limite\":100000,\"saldo\":0}, amounts in cents;
                     one that was made before keeps those that it has
                     [GALO_CLIENTS; the contest's five]
  --shards N         into how many shards a new data directory is divided;
                     fixed from then on
                     [GALO_SHARDS; as many as cores, of all nodes]
  --allow-reset[=on|off]
                     permit POST /reset, which sets all accounts back and
                     forgets payments, and POST /purge-payments
                     [GALO_ALLOW_RESET; off]
  --processor-default URL
                     the payment processor that charges less: http://HOST, and
                     :PORT and /PATH if need be; without it and the other one
                     payments are refused
                     [GALO_PROCESSOR_DEFAULT or DEFAULT_PAYMENT_PROCESSOR_URL;
                     none]
  --processor-fallback URL
                     the one that charges more
                     [GALO_PROCESSOR_FALLBACK or FALLBACK_PAYMENT_PROCESSOR_URL;
                     none]
  --payment-deadline TIME
                     how long a payment may wait for the cheaper processor, as
                     500ms, 60s or 5m
                     [GALO_PAYMENT_DEADLINE; 60s]
  --payment-queue N  payments of one shard that may wait or be under way;
                     beyond: 503
                     [GALO_PAYMENT_QUEUE; 1000000]
  --replace-processors
                     take other processors than before, or the same ones the
                     other way round, although payments are with those: whoever
                     says so knows that none can be paid twice
                     [GALO_REPLACE_PROCESSORS; off]
  --nodes A,B        names of the processes that share the data directory, the
                     same list for all, like --data, --cores, --run and
                     the processors
                     [GALO_NODES; none: one process alone]
  --node NAME        which of them this is
                     [GALO_NODE; none]
  --run DIR          where they meet: a directory that all of them see; made
                     if missing
                     [GALO_RUN; none]
  --log FORMAT       text or json, on standard error
                     [GALO_LOG; text]
  --log-level LEVEL  off, error, warn, info, debug or trace
                     [GALO_LOG_LEVEL; info]

endpoints:
  POST /clientes/{id}/transacoes    GET /clientes/{id}/extrato
  POST /payments    GET /payments/{id}    GET /payments-summary?from=…&to=…
  POST /purge-payments
  GET / or /health    GET /metrics (Prometheus)    POST /reset

SIGTERM or SIGINT: finish what was received, write a snapshot, exit 0 within
2 s; a second one: exit at once. Nothing acknowledged is lost either way.
";
