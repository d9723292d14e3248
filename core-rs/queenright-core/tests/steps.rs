//! Steps as they are used; `queenright-models` has every interleaving of two threads.
use queenright_core::steps::Steps;

#[test]
fn one_runner_at_a_time_and_steps_are_numbered_on() {
    let steps = Steps::new();
    let run = steps.enter().expect("nobody else runs");
    assert!(steps.enter().is_none());
    assert_eq!((run.begin(), steps.now()), (1, 1));
    assert_eq!((run.begin(), steps.now()), (2, 2));
    run.end();
    assert_eq!(steps.now(), 0);
    run.begin();
    drop(run);
    assert_eq!(steps.now(), 0);
    assert_eq!(steps.enter().expect("nobody else runs").begin(), 4);
}

#[test]
fn a_panic_in_a_step_gives_the_right_back() {
    let steps = Steps::new();
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let run = steps.enter().expect("nobody else runs");
        run.begin();
        panic!("in a step");
    }));
    assert!(died.is_err());
    assert_eq!(steps.now(), 0);
    assert!(steps.enter().is_some());
}
