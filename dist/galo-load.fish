# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_galo_load_global_optspecs
    string join \n c/connections= d/duration= n/requests= r/rate= t/threads= no-keepalive mix= warmup= timeout= seed= verify json= csv= html= compare= fail-on= watch-pid= watch-container= interval= h/help V/version
end

function __fish_galo_load_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_galo_load_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_galo_load_using_subcommand
    set -l cmd (__fish_galo_load_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c galo-load -n "__fish_galo_load_needs_command" -s c -l connections -d 'Connections at once, over all threads' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -s d -l duration -d 'How long it takes, the warm-up not included [default: 10s, without --requests]' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -s n -l requests -d 'How many requests it takes, the warm-up\'s not included' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -s r -l rate -d 'Requests a second that are due (open loop)' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -s t -l threads -d 'Threads that drive the connections' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l mix -d 'What is sent' -r -f -a "bank\t'22 debits, 11 credits, 1 statement'
payments\t'Payments'
extrato\t'Statements'
health\t'Health checks'"
complete -c galo-load -n "__fish_galo_load_needs_command" -l warmup -d 'Sent before, and not measured' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l timeout -d 'For one request' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l seed -d 'Decides clients, amounts and ids [default: the time]' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l json -d 'Write the report as JSON (docs/load.md has its fields). -, here and for the next two, is standard output: the summary is on standard error then' -r -F
complete -c galo-load -n "__fish_galo_load_needs_command" -l csv -d 'Write the time series as CSV' -r -F
complete -c galo-load -n "__fish_galo_load_needs_command" -l html -d 'Write the report as one HTML page' -r -F
complete -c galo-load -n "__fish_galo_load_needs_command" -l compare -d 'Put a former run beside this one: its --json' -r -F
complete -c galo-load -n "__fish_galo_load_needs_command" -l fail-on -d 'Exit with 1 if it is so: "p99>5ms", "errors>0", "rps<-5%" (against --compare)' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l watch-pid -d 'Watch memory and CPU of a process' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l watch-container -d 'Watch memory and CPU of a container' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l interval -d 'Of one point of the time series' -r
complete -c galo-load -n "__fish_galo_load_needs_command" -l no-keepalive -d 'A connection for each request, as Gatling has it'
complete -c galo-load -n "__fish_galo_load_needs_command" -l verify -d 'Recompute every balance, or the totals of payments, from the replies, and compare at the end: nobody else may use the target'
complete -c galo-load -n "__fish_galo_load_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c galo-load -n "__fish_galo_load_needs_command" -s V -l version -d 'Print version'
complete -c galo-load -n "__fish_galo_load_needs_command" -f -a "rinha-2024" -d 'The official run of 2024/Q1: its fixed sequence, its ramps, every check, the score'
complete -c galo-load -n "__fish_galo_load_needs_command" -f -a "rinha-2025" -d 'The official run of 2025: stages of two processors, users, consistency checks, the score'
complete -c galo-load -n "__fish_galo_load_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l scale -d 'Of the ramps\' times; their rates stay. 1 is four minutes' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l wait -d 'How long the target may take to answer at all' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l seed -d 'Decides clients, amounts and descriptions [default: the time]' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l json -d 'Write the report as JSON (docs/load.md has its fields). -, here and for the next two, is standard output: the summary is on standard error then' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l csv -d 'Write the time series as CSV' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l html -d 'Write the report as one HTML page' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l compare -d 'Put a former run beside this one: its --json' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l fail-on -d 'Exit with 1 if it is so: "p99>5ms", "errors>0", "rps<-5%" (against --compare)' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l watch-pid -d 'Watch memory and CPU of a process' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l watch-container -d 'Watch memory and CPU of a container' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -l interval -d 'Of one point of the time series' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2024" -s h -l help -d 'Print help'
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l default -d 'The default processor, as this program reaches it. Without both: it starts two of its own' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l fallback -d 'The fallback processor' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l listen-default -d 'Where its own default processor listens' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l listen-fallback -d 'Where its own fallback processor listens' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l token -d 'What the processors\' admin endpoints want' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l users -d 'Users at the end of the ramp (603 in the final)' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l scale -d 'Of all times of the script. 1 is a minute' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l timeout -d 'For one payment\'s reply. The script has 1.5s' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l settle -d 'How long acknowledged payments may take to be made once the users have gone' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l wait -d 'How long the target may take to answer at all' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l json -d 'Write the report as JSON (docs/load.md has its fields). -, here and for the next two, is standard output: the summary is on standard error then' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l csv -d 'Write the time series as CSV' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l html -d 'Write the report as one HTML page' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l compare -d 'Put a former run beside this one: its --json' -r -F
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l fail-on -d 'Exit with 1 if it is so: "p99>5ms", "errors>0", "rps<-5%" (against --compare)' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l watch-pid -d 'Watch memory and CPU of a process' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l watch-container -d 'Watch memory and CPU of a container' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -l interval -d 'Of one point of the time series' -r
complete -c galo-load -n "__fish_galo_load_using_subcommand rinha-2025" -s h -l help -d 'Print help'
complete -c galo-load -n "__fish_galo_load_using_subcommand help; and not __fish_seen_subcommand_from rinha-2024 rinha-2025 help" -f -a "rinha-2024" -d 'The official run of 2024/Q1: its fixed sequence, its ramps, every check, the score'
complete -c galo-load -n "__fish_galo_load_using_subcommand help; and not __fish_seen_subcommand_from rinha-2024 rinha-2025 help" -f -a "rinha-2025" -d 'The official run of 2025: stages of two processors, users, consistency checks, the score'
complete -c galo-load -n "__fish_galo_load_using_subcommand help; and not __fish_seen_subcommand_from rinha-2024 rinha-2025 help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
