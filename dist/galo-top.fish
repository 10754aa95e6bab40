complete -c galo-top -s i -l interval -d 'From one look to the next' -r
complete -c galo-top -s n -l count -d 'How many looks; without it until it is ended' -r
complete -c galo-top -s h -l help -d 'Print help'
complete -c galo-top -s V -l version -d 'Print version'
