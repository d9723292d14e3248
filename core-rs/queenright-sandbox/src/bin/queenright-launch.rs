//! `queenright-launch`: makes sandboxes for the supervisor that started it.
use std::io::Write as _;
use std::process::ExitCode;

use queenright_sandbox::{domain, inside, launcher, probe};

const USAGE: &str =
    "usage: queenright-launch [--degraded landlock] [--landlock-abi-cap N]   (control socket at descriptor 3)
       queenright-launch --probe [--landlock-abi-cap N]
       queenright-launch --version
       queenright-launch --inside N   (by bubblewrap, what to do in memory file N)
";

enum Mode {
    Serve,
    Probe,
    Version,
    Inside(i32),
}

struct Asked {
    mode: Mode,
    landlock_abi_cap: u32,
    landlock_alone: bool,
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked {
        mode: Mode::Serve,
        landlock_abi_cap: domain::MAX_ABI,
        landlock_alone: false,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--probe" => asked.mode = Mode::Probe,
            "--version" => asked.mode = Mode::Version,
            "--inside" => asked.mode = Mode::Inside(arguments.next()?.parse().ok()?),
            "--landlock-abi-cap" => asked.landlock_abi_cap = arguments.next()?.parse().ok()?,
            "--degraded" if arguments.next()? == "landlock" => asked.landlock_alone = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = parse(std::env::args().skip(1)) else {
        // Nowhere else to say it if the error stream is gone too.
        let _ = std::io::stderr().write_all(USAGE.as_bytes());
        return ExitCode::from(2);
    };
    let done = match asked.mode {
        Mode::Serve => launcher::run(asked.landlock_abi_cap, asked.landlock_alone).map(drop),
        Mode::Probe => {
            std::io::stdout().write_all(probe::examine(asked.landlock_abi_cap).as_bytes())
        }
        Mode::Inside(file) => Err(inside::run(file)),
        Mode::Version => {
            std::io::stdout().write_all(concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "queenright-launch: {error}");
            ExitCode::FAILURE
        }
    }
}
