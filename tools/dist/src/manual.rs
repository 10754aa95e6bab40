//! One page of the manual for a program with all its commands.

use std::collections::BTreeSet;

use clap::{Arg, Command};
use clap_mangen::roff::{roman, Roff};
use clap_mangen::Man;

/// `sections`: those beside the ones that every page has; a heading, and its paragraphs.
pub fn page(mut command: Command, sections: &[(&str, &str)]) -> Vec<u8> {
    command.build();
    let version = command.get_version().unwrap_or_default();
    let name = command.get_name().to_owned();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    for render in [
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ] {
        render(&man, &mut page).expect("memory takes all");
    }
    // That of the library has no command of ours to tell of.
    let all = command.get_subcommands().filter(|it| {
        it.get_name() != "help" || it.get_arguments().any(|arg| arg.get_id() == "command")
    });
    for ((name, of_it), number) in all.flat_map(leaves).zip(0..) {
        if number == 0 {
            let heading = Roff::new().control("SH", ["COMMANDS"]).render();
            page.extend(heading.into_bytes());
        }
        page.extend(subcommand(&command, of_it, &name));
    }
    for (heading, text) in sections {
        let mut roff = Roff::new();
        roff.control("SH", [*heading]);
        for (paragraph, number) in text.split("\n\n").zip(0..) {
            if number > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(paragraph)]);
        }
        page.extend(roff.render().into_bytes());
    }
    let title = name.to_ascii_uppercase();
    let title = format!(".TH {title} 1 \"\" \"{name} {version}\" \"User Commands\"\n");
    // Each part begins with what a page has to begin with once.
    let preamble = Roff::new().render();
    let parts = String::from_utf8(page).expect("it is text");
    (preamble.clone() + &title + &parts.replace(&preamble, "")).into_bytes()
}

/// Which of the program's options a command has.
fn options(program: &Command, same: &[&Arg]) -> String {
    let is_flag = |arg: &&&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    let all: Vec<&Arg> = program.get_arguments().collect();
    let names = same.iter().filter(is_flag).filter_map(|arg| arg.get_long());
    let names: Vec<String> = names.map(|name| format!("--{name}")).collect();
    match names.len() < all.iter().filter(is_flag).count() {
        true => format!("Its options, as above: {}.", names.join(", ")),
        false => "Its options are those above.".to_owned(),
    }
}

/// A command, or those that it consists of; with their names.
fn leaves(command: &Command) -> Vec<(String, &Command)> {
    let name = command.get_name();
    if !command.has_subcommands() {
        return vec![(name.to_owned(), command)];
    }
    let all = command.get_subcommands().flat_map(leaves);
    let named = all.map(|(its, command)| (format!("{name} {its}"), command));
    named.collect()
}

/// A command and its options, but for those that the program has as well.
fn subcommand(program: &Command, command: &Command, name: &str) -> Vec<u8> {
    let known = |arg: &&Arg| {
        let same = |other: &Arg| {
            let names = other.get_long() == arg.get_long() && !other.is_positional();
            names && other.get_help() == arg.get_help()
        };
        arg.get_id() == "help" || program.get_arguments().any(same)
    };
    let (same, own): (Vec<&Arg>, Vec<&Arg>) = command.get_arguments().partition(known);
    let mut roff = Roff::new();
    let name = format!("{} {name}", program.get_name());
    roff.control("SS", [name.as_str()]);
    let about = command.get_about().map(ToString::to_string);
    roff.text([roman(about.unwrap_or_default())]);
    let headings: BTreeSet<Option<&str>> = same.iter().map(|arg| arg.get_help_heading()).collect();
    for heading in headings {
        // All have --help, without a heading.
        let text = match heading {
            Some(heading) => format!(
                "The options under {} are its own, too.",
                heading.to_uppercase()
            ),
            None if own.is_empty() && same.len() > 1 => options(program, &same),
            None => continue,
        };
        roff.control("PP", []);
        roff.text([roman(text)]);
    }
    let mut text = roff.render().into_bytes();
    if own.is_empty() {
        return text;
    }
    let mut rest = command.clone();
    for arg in same {
        rest = rest.mut_arg(arg.get_id(), |arg| arg.hide(true));
    }
    let mut options = Vec::new();
    let man = Man::new(rest);
    man.render_options_section(&mut options)
        .expect("memory takes all");
    let options = String::from_utf8(options).expect("it is text");
    // Headings of a page of its own.
    let lines = options.lines().filter(|line| !line.starts_with(".SH "));
    text.extend(lines.flat_map(|line| [line, "\n"]).flat_map(str::bytes));
    text
}
