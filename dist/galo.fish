# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_galo_global_optspecs
    string join \n listen= data= cores= pin= io= durability= clients= shards= allow-reset= docs= processor-default= processor-fallback= payment-deadline= payment-queue= replace-processors= nodes= node= run= replicate= cluster= replicate-creds= replicate-tls-ca= replicate-tls-cert= replicate-tls-key= replicate-log-mib= seed= log= log-level= h/help V/version
end

function __fish_galo_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_galo_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_galo_using_subcommand
    set -l cmd (__fish_galo_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c galo -n "__fish_galo_needs_command" -l listen -d 'where to listen: HOST:PORT or unix:/PATH; may be repeated; not said, sockets that systemd passes on are all there is' -r -f
complete -c galo -n "__fish_galo_needs_command" -l data -d 'where accounts and journal are kept; made if missing' -r -f -a "(__fish_complete_directories)"
complete -c galo -n "__fish_galo_needs_command" -l cores -d 'threads, each with sockets and shards of its own [default: what the process may use, cgroup quota too]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l pin -d 'keep thread N on the Nth CPU that the process may use' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_needs_command" -l io -d 'auto, uring or epoll: auto is uring, or epoll where the kernel refuses io_uring' -r -f -a "auto\t''
uring\t''
epoll\t''"
complete -c galo -n "__fish_galo_needs_command" -l durability -d 'process: a reply leaves once its journal write has reached the kernel, and survives kill -9 (fdatasync follows within 100 ms); disk: after fdatasync, and survives a power loss; replicated, with --replicate and only then: after a quorum has it, and survives the loss of a machine' -r -f -a "process\t''
disk\t''
replicated\t''"
complete -c galo -n "__fish_galo_needs_command" -l clients -d 'the clients of a new data directory: a JSON list of {"id":1,"limite":100000,"saldo":0}, amounts in cents; one that was made before keeps those that it has [default: the contest\'s five]' -r -F
complete -c galo -n "__fish_galo_needs_command" -l shards -d 'into how many shards a new data directory is divided; fixed from then on [default: one a core; with --replicate four a node]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l allow-reset -d 'permit POST /reset, which sets all accounts back and forgets payments, and POST /purge-payments' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_needs_command" -l docs -d 'answer GET /openapi.json with the description of the APIs' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_needs_command" -l processor-default -d 'the payment processor that charges less: http://HOST, and :PORT and /PATH if need be; without it and the other one payments are refused [env: DEFAULT_PAYMENT_PROCESSOR_URL, too]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l processor-fallback -d 'the one that charges more [env: FALLBACK_PAYMENT_PROCESSOR_URL, too]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l payment-deadline -d 'how long a payment may wait for the cheaper processor, as 500ms, 60s or 5m' -r -f
complete -c galo -n "__fish_galo_needs_command" -l payment-queue -d 'payments of one shard that may wait or be under way; beyond: 503' -r -f
complete -c galo -n "__fish_galo_needs_command" -l replace-processors -d 'take other processors than before, or the same ones the other way round, although payments are with those: whoever says so knows that none can be paid twice' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_needs_command" -l nodes -d 'names of the processes of a cluster, the same list for all, like --cores and the processors; on one machine they share --data and --run [default: none: one process alone]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l node -d 'which of them this is' -r -f
complete -c galo -n "__fish_galo_needs_command" -l run -d 'where they meet: a directory that all of them see; made if missing' -r -f -a "(__fish_complete_directories)"
complete -c galo -n "__fish_galo_needs_command" -l replicate -d 'the NATS servers that keep the journals, for nodes on several machines: nats://HOST:PORT,... or tls://; each node has a --data of its own, and no --run [default: none: one machine]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l cluster -d 'what streams and subjects there are called after' -r -f
complete -c galo -n "__fish_galo_needs_command" -l replicate-creds -d 'a credentials file of NATS' -r -F
complete -c galo -n "__fish_galo_needs_command" -l replicate-tls-ca -d 'whom to trust besides: PEM [default: the system\'s]' -r -F
complete -c galo -n "__fish_galo_needs_command" -l replicate-tls-cert -d 'who we are: PEM' -r -F
complete -c galo -n "__fish_galo_needs_command" -l replicate-tls-key -d 'and its key' -r -F
complete -c galo -n "__fish_galo_needs_command" -l replicate-log-mib -d 'MiB from which on the front of the servers\' log goes, once all shards are in their object store [default: 256 MiB]' -r -f
complete -c galo -n "__fish_galo_needs_command" -l seed -d 'with --replicate: found a cluster that is empty with what --data has, which was served on one machine until now' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_needs_command" -l log -d 'text or json, on standard error' -r -f -a "text\t''
json\t''"
complete -c galo -n "__fish_galo_needs_command" -l log-level -d 'off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
warning\t''
info\t''
debug\t''
trace\t''"
complete -c galo -n "__fish_galo_needs_command" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_needs_command" -s V -l version -d 'Print version'
complete -c galo -n "__fish_galo_needs_command" -f -a "serve" -d 'Serve the API; what galo without a command does'
complete -c galo -n "__fish_galo_needs_command" -f -a "check" -d 'Verify a data directory, change nothing; exit 1 at the first damage'
complete -c galo -n "__fish_galo_needs_command" -f -a "healthcheck" -d 'Ask a running server how it is: exit 0 or 1'
complete -c galo -n "__fish_galo_needs_command" -f -a "cluster" -d 'Nodes on several machines'
complete -c galo -n "__fish_galo_needs_command" -f -a "help" -d 'All of a command'
complete -c galo -n "__fish_galo_needs_command" -f -a "version" -d 'Version, commit and I/O drivers'
complete -c galo -n "__fish_galo_using_subcommand serve" -l listen -d 'where to listen: HOST:PORT or unix:/PATH; may be repeated; not said, sockets that systemd passes on are all there is' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l data -d 'where accounts and journal are kept; made if missing' -r -f -a "(__fish_complete_directories)"
complete -c galo -n "__fish_galo_using_subcommand serve" -l cores -d 'threads, each with sockets and shards of its own [default: what the process may use, cgroup quota too]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l pin -d 'keep thread N on the Nth CPU that the process may use' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l io -d 'auto, uring or epoll: auto is uring, or epoll where the kernel refuses io_uring' -r -f -a "auto\t''
uring\t''
epoll\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l durability -d 'process: a reply leaves once its journal write has reached the kernel, and survives kill -9 (fdatasync follows within 100 ms); disk: after fdatasync, and survives a power loss; replicated, with --replicate and only then: after a quorum has it, and survives the loss of a machine' -r -f -a "process\t''
disk\t''
replicated\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l clients -d 'the clients of a new data directory: a JSON list of {"id":1,"limite":100000,"saldo":0}, amounts in cents; one that was made before keeps those that it has [default: the contest\'s five]' -r -F
complete -c galo -n "__fish_galo_using_subcommand serve" -l shards -d 'into how many shards a new data directory is divided; fixed from then on [default: one a core; with --replicate four a node]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l allow-reset -d 'permit POST /reset, which sets all accounts back and forgets payments, and POST /purge-payments' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l docs -d 'answer GET /openapi.json with the description of the APIs' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l processor-default -d 'the payment processor that charges less: http://HOST, and :PORT and /PATH if need be; without it and the other one payments are refused [env: DEFAULT_PAYMENT_PROCESSOR_URL, too]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l processor-fallback -d 'the one that charges more [env: FALLBACK_PAYMENT_PROCESSOR_URL, too]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l payment-deadline -d 'how long a payment may wait for the cheaper processor, as 500ms, 60s or 5m' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l payment-queue -d 'payments of one shard that may wait or be under way; beyond: 503' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l replace-processors -d 'take other processors than before, or the same ones the other way round, although payments are with those: whoever says so knows that none can be paid twice' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l nodes -d 'names of the processes of a cluster, the same list for all, like --cores and the processors; on one machine they share --data and --run [default: none: one process alone]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l node -d 'which of them this is' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l run -d 'where they meet: a directory that all of them see; made if missing' -r -f -a "(__fish_complete_directories)"
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate -d 'the NATS servers that keep the journals, for nodes on several machines: nats://HOST:PORT,... or tls://; each node has a --data of its own, and no --run [default: none: one machine]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l cluster -d 'what streams and subjects there are called after' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate-creds -d 'a credentials file of NATS' -r -F
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate-tls-ca -d 'whom to trust besides: PEM [default: the system\'s]' -r -F
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate-tls-cert -d 'who we are: PEM' -r -F
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate-tls-key -d 'and its key' -r -F
complete -c galo -n "__fish_galo_using_subcommand serve" -l replicate-log-mib -d 'MiB from which on the front of the servers\' log goes, once all shards are in their object store [default: 256 MiB]' -r -f
complete -c galo -n "__fish_galo_using_subcommand serve" -l seed -d 'with --replicate: found a cluster that is empty with what --data has, which was served on one machine until now' -r -f -a "on\t''
off\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l log -d 'text or json, on standard error' -r -f -a "text\t''
json\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -l log-level -d 'off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
warning\t''
info\t''
debug\t''
trace\t''"
complete -c galo -n "__fish_galo_using_subcommand serve" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand check" -l data -d 'The directory' -r -f -a "(__fish_complete_directories)"
complete -c galo -n "__fish_galo_using_subcommand check" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand healthcheck" -l url -d 'HOST:PORT, http://HOST:PORT/PATH or unix:/PATH [default: the first address of GALO_LISTEN]' -r -f
complete -c galo -n "__fish_galo_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand cluster; and not __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand cluster; and not __fish_seen_subcommand_from status" -f -a "status" -d 'Tell how nodes on several machines are, by what NATS has of them: streams, leases, and owners of shards; exit 1 if something needs a person, which it names, or NATS does not answer'
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l replicate -d 'the NATS servers that keep the journals, for nodes on several machines: nats://HOST:PORT,... or tls://; each node has a --data of its own, and no --run [default: none: one machine]' -r -f
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l cluster -d 'what streams and subjects there are called after' -r -f
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l replicate-creds -d 'a credentials file of NATS' -r -F
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l replicate-tls-ca -d 'whom to trust besides: PEM [default: the system\'s]' -r -F
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l replicate-tls-cert -d 'who we are: PEM' -r -F
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -l replicate-tls-key -d 'and its key' -r -F
complete -c galo -n "__fish_galo_using_subcommand cluster; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand help" -s h -l help -d 'Print help'
complete -c galo -n "__fish_galo_using_subcommand version" -s h -l help -d 'Print help'
