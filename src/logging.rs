//! The log of the process: levels and line formats of Crossbar.io, and JSON. Started once, by `start`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Least severe messages that are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing at all.
    None,
    /// Errors; there is no severer kind of message.
    Critical,
    /// Errors.
    Error,
    /// Warnings too.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, program and process id, text.
    #[default]
    Standard,
    /// The same, never coloured.
    Nocolor,
    /// Without the time, which syslog adds.
    Syslogd,
    /// Text only.
    None,
    /// One JSON object a line.
    Json,
}

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// When standard error is a terminal.
    #[default]
    Auto,
    /// Always.
    True,
    /// Never.
    False,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    StandardError,
    /// A file, appended to, never coloured.
    File(PathBuf),
}

macro_rules! display_as_on_the_command_line {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let name = self.to_possible_value();
                f.write_str(name.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}

display_as_on_the_command_line!(LogLevel, LogFormat, Colour);

/// Starts the log of the process. Later calls change nothing.
///
/// # Errors
/// The message for the user when the log file cannot be opened.
pub fn start(level: LogLevel, format: LogFormat, colour: Colour, target: &LogTarget) -> Result<(), String> {
    let is_coloured = match colour {
        Colour::True => true,
        Colour::False => false,
        Colour::Auto => io::stderr().is_terminal(),
    };
    match target {
        LogTarget::StandardError => install(level, format, is_coloured, io::stderr),
        LogTarget::File(path) => {
            let file = Mutex::new(open(path)?);
            let file = LOG_FILE.get_or_init(|| LogFile { path: path.clone(), file });
            install(level, format, false, move || file);
        }
    }
    Ok(())
}

/// Opens the log file anew, after it was moved away. Does nothing if the log goes to standard error.
///
/// # Errors
/// The message for the user; the log goes on in the file it had.
pub fn reopen() -> Result<(), String> {
    let Some(log) = LOG_FILE.get() else { return Ok(()) };
    let file = open(&log.path)?;
    *log.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    Ok(())
}

/// The file of the log, if it goes to one.
static LOG_FILE: OnceLock<LogFile> = OnceLock::new();

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl io::Write for &LogFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &std::path::Path) -> Result<File, String> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| format!("cannot open log file {}: {error}", path.display()))
}

fn install<W>(level: LogLevel, format: LogFormat, is_coloured: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_max_level(filter(level)).with_writer(writer);
    let is_coloured = is_coloured && format != LogFormat::Nocolor;
    // A second start in one process (tests, embedding) keeps the first log.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_install(),
        format => builder.with_ansi(is_coloured).event_format(Line { format }).finish().try_install(),
    };
}

/// Makes a subscriber that of the process.
trait TryInstall: Subscriber + Send + Sync + Sized + 'static {
    fn try_install(self) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
        tracing::subscriber::set_global_default(self)
    }
}

impl<S: Subscriber + Send + Sync + 'static> TryInstall for S {}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Critical | LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// `<time> [crossring <process id>] <text>`; warnings and errors are named as such.
struct Line {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if matches!(self.format, LogFormat::Standard | LogFormat::Nocolor) {
            SystemTime.format_time(&mut line)?;
            line.write_char(' ')?;
        }
        if self.format != LogFormat::None {
            write!(line, "[{:<10} {:>6}] ", "crossring", std::process::id())?;
        }
        write_level(&mut line, level)?;
        if level >= Level::DEBUG && self.format != LogFormat::None {
            write!(line, "{}: ", event.metadata().target())?;
        }
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

/// The words for warnings and errors, in colour where wanted.
fn write_level(line: &mut Writer<'_>, level: Level) -> fmt::Result {
    let (word, colour) = match level {
        Level::ERROR => ("ERROR", 31),
        Level::WARN => ("WARN", 33),
        _ => return Ok(()),
    };
    match line.has_ansi_escapes() {
        true => write!(line, "\x1b[{colour}m{word}\x1b[0m "),
        false => write!(line, "{word} "),
    }
}
