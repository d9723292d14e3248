//! What the launcher is told: a map with exactly its fields, checked whole before anything is made.
use queenright_sandbox::layout::target;
use queenright_sandbox::message::{Request, decode};
use queenright_sandbox::plan::{absolute, arguments, environment};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Any packet: refused with words of bounded length, or one map and nothing after it.
pub fn message(data: &[u8]) {
    let request = match decode(data) {
        Ok(request) => request,
        Err(malformed) => {
            let said = malformed.refusal.message();
            assert!(
                said.len() <= 4096 + 16 * data.len(),
                "a refusal longer than what it refuses"
            );
            return;
        }
    };
    assert!(
        matches!(data[0], 0x80..=0x8f | 0xde | 0xdf),
        "a request that is no map"
    );
    assert!(
        decode(&[data, &[0xc0]].concat()).is_err(),
        "a byte after the map was overlooked"
    );
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(data));
    assert!(
        IgnoredAny::deserialize(&mut reader).is_ok(),
        "what no other reader takes"
    );
    match request {
        Request::Kill(_) => {}
        Request::KillMany(ids) => assert!(ids.len() <= data.len(), "ids that were not said"),
        Request::Service(service) => program(&service.argv, &service.env, &service.cwd),
        Request::Spawn(spawn) => {
            program(&spawn.argv, &spawn.env, &spawn.cwd);
            for bind in &spawn.binds {
                place(&bind.dst);
            }
            spawn.hide.iter().for_each(|path| place(path));
        }
    }
}

fn program(argv: &[String], env: &std::collections::BTreeMap<String, String>, cwd: &str) {
    if let Ok(words) = arguments(argv) {
        assert_eq!(words.len(), argv.len());
        assert!(argv[0].starts_with('/'));
    }
    if let Ok(lines) = environment(env) {
        assert_eq!(lines.len(), env.len());
    }
    if let Ok(path) = absolute("cwd", cwd) {
        assert!(path.to_bytes().starts_with(b"/"));
    }
}

/// A place inside the sandbox: it stays below its root, off the launcher's own mounts.
fn place(path: &str) {
    let Ok(relative) = target("bind dst", path) else {
        return;
    };
    assert_eq!(format!("/{relative}"), path);
    let parts: Vec<&str> = relative.split('/').collect();
    assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")));
    assert!(!matches!(parts[0], "proc" | "dev"));
}
