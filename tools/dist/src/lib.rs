//! Manual pages and completions of `galo`, `galo-load` and `galo-top`, made of what their help is made of.

mod manual;
mod server;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

/// Every file of `dist/` that is made, and its contents.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let programs = [
        (server::command(), server::sections()),
        (galo_load::cli::Cli::command(), vec![]),
        (
            galo_top::cli::Arguments::command(),
            vec![("SEE ALSO", "galo(1), galo-load(1)")],
        ),
    ];
    let mut files = Vec::new();
    for (command, sections) in programs {
        let name = command.get_name().to_owned();
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            files.push((file, completion(shell, command.clone())));
        }
        files.push((format!("{name}.1"), manual::page(command, &sections)));
    }
    files
}

fn completion(shell: Shell, command: Command) -> Vec<u8> {
    let mut command = without_positionals(&command);
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut text);
    // A dash in a program's name is taken for the border between two commands, but not everywhere.
    let text = String::from_utf8(text).expect("it is text");
    let wrong = format!("{}__", name.replace('-', "__subcmd__"));
    let right = format!("{}__", name.replace('-', "__"));
    text.replace(&wrong, &right).into_bytes()
}

/// A URL has no completion; and in zsh, a command is looked for only behind it.
fn without_positionals(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|arg| !arg.is_positional());
    Command::new(command.get_name().to_owned())
        .version(command.get_version().unwrap_or_default().to_owned())
        .args(flags)
        .subcommands(command.get_subcommands())
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
}
