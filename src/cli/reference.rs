//! The reference of all commands, written from their definitions: it cannot disagree with what is accepted.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::CommandLine;

/// Names of all commands and their long options (`--cbdir`), as written on a command line.
pub fn all_command_words() -> Vec<String> {
    let mut words = Vec::new();
    for command in commands().get_subcommands().filter(|command| command.get_name() != "help") {
        words.push(command.get_name().to_string());
        words.extend(
            visible(command).filter_map(|argument| argument.get_long().map(|name| format!("--{name}"))),
        );
    }
    words.sort();
    words.dedup();
    words
}

/// One Markdown section per command.
pub fn reference_markdown() -> String {
    let mut text = String::new();
    for command in commands().get_subcommands().filter(|command| command.get_name() != "help") {
        section(&mut text, command);
    }
    text
}

fn commands() -> Command {
    let mut command = CommandLine::command();
    command.build();
    command
}

fn visible(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
}

// Writing to a String cannot fail, so the results of `write!` are dropped here.
fn section(text: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "### crossring {}\n\n{about}.\n", command.get_name());
    if visible(command).next().is_none() {
        return;
    }
    let _ = writeln!(text, "| argument | values | default | meaning |\n|---|---|---|---|");
    visible(command).for_each(|argument| row(text, argument));
    text.push('\n');
}

fn row(text: &mut String, argument: &Arg) {
    let name = match argument.get_long() {
        Some(long) => format!("`--{long}`"),
        None => format!("`{}`", argument.get_id().as_str().to_uppercase()),
    };
    let values = argument.get_possible_values();
    let takes_value = argument.get_num_args().is_some_and(|range| range.takes_values());
    let values = match argument.get_value_names() {
        _ if !takes_value => String::new(),
        _ if !values.is_empty() => {
            values.iter().map(|value| format!("`{}`", value.get_name())).collect::<Vec<_>>().join(", ")
        }
        Some(names) => names.join(" "),
        None => String::new(),
    };
    let defaults = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
    let default = if takes_value { defaults.collect::<Vec<_>>().join(" ") } else { String::new() };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let _ =
        writeln!(text, "| {name} | {values} | {default} | {} |", help.replace('|', "\\|").replace('\n', " "));
}
