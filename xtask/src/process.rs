//! Starting other programs: what they print, how long they may take, and an error that names them.
//!
//! No program started here gets the terminal as its input, so nothing can wait for an answer.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Lines of a failed program's output that its error shows.
const SHOWN_LINES: usize = 20;
/// How long a program that was asked to end may take to do so.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Runs a program that prints for the reader. All of it goes to stderr, as stdout belongs to results.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status().with_context(|| not_started(command))?;
    succeeded(command, status, &[])
}

/// Runs a program without showing what it prints; its last lines are in the error if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| not_started(command))?;
    let mut printed = output.stdout;
    printed.extend(output.stderr);
    succeeded(command, output.status, &printed)
}

/// Like [`run_quietly`], but ends the program when it takes longer than `limit`.
pub(crate) fn run_limited(command: &mut Command, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| not_started(command))?;
    // Read beside the wait, else a program that prints much would block on a full pipe.
    let reader = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut printed = Vec::new();
            let _ = stderr.read_to_end(&mut printed); // what was read until an error is still worth showing
            printed
        })
    });
    let Some(status) = wait_until(&mut child, deadline)? else {
        child.kill()?;
        child.wait()?;
        bail!("`{}` was stopped after {} s", line(command), limit.as_secs());
    };
    let printed = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    succeeded(command, status, &printed)
}

/// What a program prints on stdout, without the white space around it.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| not_started(command))?;
    succeeded(command, output.status, &output.stderr)?;
    Ok(String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", line(command)))?.trim().to_owned())
}

/// Runs a program, printing each line of its stdout and showing it to `observe`. Asks it to end, and then makes it, when it has
/// printed nothing for as long as `standstill`: on a busy machine it may take any time as a whole.
pub(crate) fn run_observed(
    command: &mut Command,
    standstill: Duration,
    mut observe: impl FnMut(&str),
) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| not_started(command))?;
    let (lines, printed) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // Read beside the wait, since what a stopped program leaves behind may keep its stdout open for ever.
        thread::spawn(move || {
            BufReader::new(stdout).split(b'\n').map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
    }
    loop {
        match printed.recv_timeout(standstill) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                println!("{text}");
                observe(&text);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    // A script that is interrupted ends its browsers and relays first.
    let _ = run_quietly(Command::new("kill").arg("-INT").arg(child.id().to_string()));
    if wait_until(&mut child, Instant::now() + END_LIMIT)?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    bail!("`{}` was stopped, as it had printed nothing for {} s", line(command), standstill.as_secs());
}

/// Runs a program that prints into a file, whose former contents go.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<ExitStatus> {
    let file = fs::File::create(log).with_context(|| log.display().to_string())?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    command.status().with_context(|| not_started(command))
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The first of `names` that PATH holds, in the order of `names`.
pub(crate) fn find_on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    names.iter().find_map(|name| env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file)))
}

/// Whether a file exists and may be executed.
pub(crate) fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn succeeded(command: &Command, status: ExitStatus, printed: &[u8]) -> Result<()> {
    ensure!(status.success(), "`{}` failed ({status}){}", line(command), last_lines(printed));
    Ok(())
}

fn not_started(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

/// The end of what a program printed, each line on a line of its own.
fn last_lines(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines.get(first..).unwrap_or_default().iter().map(|line| format!("\n  {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_hangs_is_stopped_at_its_limit() {
        let started = Instant::now();
        let error = run_limited(&mut shell("exec sleep 30"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("was stopped"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_runner_that_hangs_is_stopped_whatever_it_leaves_behind() {
        let mut seen = Vec::new();
        let mut runner = shell("echo begun; sleep 90 & wait");
        let started = Instant::now();
        let error =
            run_observed(&mut runner, Duration::from_millis(300), |line| seen.push(line.to_owned())).unwrap_err();
        assert!(error.to_string().contains("was stopped"), "{error}");
        assert_eq!(seen, ["begun"]);
        // A shell that was started in the background hears no interrupt.
        assert!(started.elapsed() < END_LIMIT + Duration::from_secs(10));
    }

    #[test]
    fn a_runner_that_goes_on_is_not_stopped_however_long_it_takes() {
        let standstill = Duration::from_secs(3);
        let started = Instant::now();
        let mut runner = shell("for line in 1 2 3 4 5 6 7; do echo $line; sleep 0.5; done");
        assert!(run_observed(&mut runner, standstill, |_| {}).unwrap().success());
        assert!(started.elapsed() > standstill);
    }

    #[test]
    fn a_failure_shows_the_last_lines_that_the_program_printed() {
        for outcome in [
            run_quietly(&mut shell("echo why >&2; exit 3")),
            run_limited(&mut shell("echo why >&2; exit 3"), Duration::from_secs(60)),
        ] {
            let error = format!("{:#}", outcome.unwrap_err());
            assert!(error.contains("why") && error.contains("exit status: 3"), "{error}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run_quietly(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn programs_are_found_in_the_order_of_their_names() {
        assert_eq!(
            find_on_path(&["no-such-program", "sh"]).and_then(|file| file.file_name().map(OsStr::to_owned)),
            Some("sh".into())
        );
        assert_eq!(find_on_path(&["no-such-program"]), None);
    }
}
