//! `queenright-launch`: makes sandboxes for the supervisor that started it.
use std::io::Write as _;
use std::process::ExitCode;

use queenright_sandbox::{domain, launcher, probe};

const USAGE: &str =
    "usage: queenright-launch [--landlock-abi-cap N]   (control socket at descriptor 3)
       queenright-launch --probe [--landlock-abi-cap N]
       queenright-launch --version
";

enum Mode {
    Serve,
    Probe,
    Version,
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<(Mode, u32)> {
    let (mut mode, mut cap) = (Mode::Serve, domain::MAX_ABI);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--probe" => mode = Mode::Probe,
            "--version" => mode = Mode::Version,
            "--landlock-abi-cap" => cap = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some((mode, cap))
}

fn main() -> ExitCode {
    let Some((mode, cap)) = parse(std::env::args().skip(1)) else {
        // Nowhere else to say it if the error stream is gone too.
        let _ = std::io::stderr().write_all(USAGE.as_bytes());
        return ExitCode::from(2);
    };
    let done = match mode {
        Mode::Serve => launcher::run(cap).map(drop),
        Mode::Probe => std::io::stdout().write_all(probe::examine(cap).as_bytes()),
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
