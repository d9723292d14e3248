use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn columns() -> Vec<Column> {
    [
        ("name", Type::Text),
        ("mail", Type::Int),
        ("rate", Type::Float),
    ]
    .map(|(name, kind)| Column {
        name: name.into(),
        kind,
    })
    .into()
}

fn view() -> View {
    View::new(columns()).unwrap()
}

fn cells(name: &str, mail: i64, rate: f64) -> Vec<Cell> {
    vec![Cell::Text(name.into()), Cell::Int(mail), Cell::Float(rate)]
}

fn shown(view: &mut View) -> Vec<String> {
    view.refresh();
    let lines: Vec<String> = view
        .window(0, usize::MAX)
        .map(|line| {
            format!(
                "{}{}",
                " ".repeat(line.depth),
                String::from_utf8_lossy(line.id)
            )
        })
        .collect();
    assert_eq!(lines.len(), view.len());
    lines
}

fn swarm() -> View {
    let mut view = view();
    view.upsert(b"root", cells("Watcher", 1, 0.5), None)
        .unwrap();
    view.upsert(b"a", cells("logs-07", 9, 2.0), Some(b"root"))
        .unwrap();
    view.upsert(b"b", cells("metrics-04", 3, 1.0), Some(b"root"))
        .unwrap();
    view.upsert(b"c", cells("logs-08", 9, 0.0), Some(b"a"))
        .unwrap();
    view
}

#[test]
fn a_sort_is_stable_and_ignores_case() {
    let mut view = swarm();
    view.set_sort("mail", true).unwrap();
    assert_eq!(
        shown(&mut view),
        ["a", "c", "b", "root"],
        "equal cells stay in the order they came"
    );
    view.set_sort("mail", false).unwrap();
    assert_eq!(shown(&mut view), ["root", "b", "a", "c"]);
    view.set_sort("name", false).unwrap();
    assert_eq!(shown(&mut view), ["a", "c", "b", "root"]);
    let refused = view.set_sort("colour", false).unwrap_err();
    assert!(refused.hint.contains("name mail rate"));
}

#[test]
fn a_tree_shows_depth_and_closes() {
    let mut view = swarm();
    view.set_tree(true);
    assert_eq!(shown(&mut view), ["root", " a", "  c", " b"]);
    view.toggle(b"a").unwrap();
    assert_eq!(shown(&mut view), ["root", " a", " b"]);
    let facts: Vec<_> = view
        .window(0, 9)
        .map(|line| (line.has_children, line.is_open))
        .collect();
    assert_eq!(facts, [(true, true), (true, false), (false, false)]);
    assert_eq!(view.index_of(b"c"), None);
    assert_eq!(view.index_of(b"b"), Some(2));
    assert!(view.toggle(b"nobody").is_err());
}

#[test]
fn a_filter_shows_what_a_match_hangs_under() {
    let mut view = swarm();
    view.set_tree(true);
    view.toggle(b"root").unwrap();
    view.set_filter("name:logs-08").unwrap();
    assert_eq!(shown(&mut view), ["root", " a", "  c"]);
    view.set_tree(false);
    assert_eq!(shown(&mut view), ["c"]);
    view.set_filter("").unwrap();
    assert_eq!(view.total(), 4);
    assert_eq!(shown(&mut view).len(), 4);
}

#[test]
fn the_filter_grammar() {
    let mut view = swarm();
    for (query, expected) in [
        ("LOGS", "a c"),
        ("name:logs mail:9", "a c"),
        ("!logs", "root b"),
        ("!name:logs !watch", "b"),
        ("mail:>3", "a c"),
        ("mail:>=3", "a b c"),
        ("mail:<3", "root"),
        ("mail:<=3", "root b"),
        ("rate:=0.5", "root"),
        ("!rate:>0.5", "root c"),
        ("/logs-0?/", "a c"),
        ("/logs/", ""),
        ("name:/*-0*/", "a b c"),
        ("mail:/9/", "a c"),
        ("svc:shop", ""),
        ("\"logs-07\"", "a"),
        ("\"logs 07\"", ""),
        ("", "root a b c"),
        ("   ", "root a b c"),
        ("9", "a c"),
    ] {
        view.set_filter(query).unwrap();
        assert_eq!(shown(&mut view).join(" "), expected, "{query}");
    }
    for query in [
        "mail:>",
        "mail:>x",
        "mail:>inf",
        "name:>3",
        "\"open",
        &"x".repeat(600),
    ] {
        assert!(view.set_filter(query).is_err(), "{query}");
    }
    view.set_filter("!").unwrap();
    assert_eq!(
        shown(&mut view).join(" "),
        "",
        "nothing contains no empty text"
    );
}

#[test]
fn while_held_no_row_moves() {
    let mut view = swarm();
    view.set_sort("mail", true).unwrap();
    view.hold(true);
    view.upsert(b"root", cells("Watcher", 99, 0.5), None)
        .unwrap();
    view.upsert(b"new", cells("new", 100, 0.5), None).unwrap();
    assert_eq!(shown(&mut view), ["a", "c", "b", "root"]);
    assert_eq!(
        view.window(3, 1).next().unwrap().cells[1],
        Cell::Int(99),
        "but its cells are live"
    );
    view.remove(b"c").unwrap();
    view.upsert(b"tenant", cells("tenant", 5, 0.0), None)
        .unwrap();
    assert_eq!(
        shown(&mut view),
        ["a", "b", "root"],
        "a new row never takes the place of one that left"
    );
    assert_eq!(view.index_of(b"tenant"), None);
    view.set_filter("mail:>4").unwrap();
    assert_eq!(
        shown(&mut view),
        ["new", "root", "a", "tenant"],
        "the person's own wish is obeyed at once"
    );
    view.set_filter("").unwrap();
    view.hold(false);
    assert_eq!(shown(&mut view), ["new", "root", "a", "tenant", "b"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut view = swarm();
    assert!(view.upsert(b"x", vec![Cell::Int(1)], None).is_err());
    assert!(
        view.upsert(
            b"x",
            vec![Cell::Int(1), Cell::Int(1), Cell::Float(1.0)],
            None
        )
        .is_err()
    );
    assert!(view.remove(b"x").is_err());
    assert!(
        view.upsert(b"root", cells("", 0, 0.0), Some(b"c")).is_err(),
        "a row under itself"
    );
    assert!(
        view.upsert(b"root", cells("", 0, 0.0), Some(b"root"))
            .is_err()
    );
    assert!(View::new(vec![]).is_err());
    let twice = columns().into_iter().chain(columns()).collect();
    assert!(View::new(twice).is_err());
}

#[test]
fn a_child_may_come_before_its_parent_and_outlive_it() {
    let mut view = view();
    view.set_tree(true);
    view.upsert(b"child", cells("c", 0, 0.0), Some(b"parent"))
        .unwrap();
    assert_eq!(shown(&mut view), ["child"]);
    assert!(
        view.upsert(b"parent", cells("p", 0, 0.0), Some(b"child"))
            .is_err(),
        "nor through one that was not there"
    );
    view.upsert(b"parent", cells("p", 0, 0.0), None).unwrap();
    assert_eq!(shown(&mut view), ["parent", " child"]);
    view.remove(b"parent").unwrap();
    assert_eq!(shown(&mut view), ["child"]);
}

#[test]
fn a_chain_as_long_as_the_table_is_walked() {
    let mut view = view();
    view.set_tree(true);
    // From the leaf up, so that each insertion's walk to the top is short.
    for number in (0..50_000_u32).rev() {
        let parent = number.checked_sub(1).map(u32::to_be_bytes);
        view.upsert(
            &number.to_be_bytes(),
            cells("x", 0, 0.0),
            parent.as_ref().map(<[u8; 4]>::as_slice),
        )
        .unwrap();
    }
    view.refresh();
    assert_eq!(view.window(49_999, 1).next().unwrap().depth, 49_999);
}

/// The same table, by definition: no index, no cache, recursion.
#[derive(Default)]
struct Naive {
    rows: BTreeMap<u8, (u64, Option<u8>, i64, bool)>,
    births: u64,
}

impl Naive {
    fn descends(&self, row: u8, from: u8) -> bool {
        row == from
            || self.rows.get(&row).is_some_and(|(_, parent, ..)| {
                parent.is_some_and(|parent| self.descends(parent, from))
            })
    }

    fn order(&self, descending: bool, least: Option<i64>, tree: bool) -> Vec<(u8, usize)> {
        let matches = |row: &u8| least.is_none_or(|least| self.rows[row].2 > least);
        let mut sorted: Vec<u8> = self.rows.keys().copied().collect();
        sorted.sort_by_key(|row| {
            let (born, _, mail, _) = self.rows[row];
            (if descending { -mail } else { mail }, born)
        });
        if !tree {
            return sorted
                .into_iter()
                .filter(matches)
                .map(|row| (row, 0))
                .collect();
        }
        let kept: Vec<u8> = sorted
            .iter()
            .copied()
            .filter(|row| {
                self.rows
                    .keys()
                    .any(|other| matches(other) && self.descends(*other, *row))
            })
            .collect();
        let mut out = Vec::new();
        for row in kept.iter().filter(|row| {
            self.rows[row]
                .1
                .is_none_or(|parent| !self.rows.contains_key(&parent))
        }) {
            self.walk(*row, 0, &kept, least.is_some(), &mut out);
        }
        out
    }

    fn walk(&self, row: u8, depth: usize, kept: &[u8], all_open: bool, out: &mut Vec<(u8, usize)>) {
        out.push((row, depth));
        if self.rows[&row].3 || all_open {
            for child in kept.iter().filter(|child| self.rows[child].1 == Some(row)) {
                self.walk(*child, depth + 1, kept, all_open, out);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, i64, Option<u8>),
    Remove(u8),
    Toggle(u8),
    Sort(bool),
    Filter(Option<i64>),
    Tree(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8, 0..5_i64, proptest::option::of(0..12_u8)).prop_map(|(row, mail, parent)| Step::Upsert(row, mail, parent)),
        2 => (0..12_u8).prop_map(Step::Remove),
        2 => (0..12_u8).prop_map(Step::Toggle),
        1 => any::<bool>().prop_map(Step::Sort),
        1 => proptest::option::of(0..5_i64).prop_map(Step::Filter),
        1 => any::<bool>().prop_map(Step::Tree),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_view_agrees_with_its_definition(steps in proptest::collection::vec(step(), 1..60)) {
        let mut view = view();
        let mut naive = Naive::default();
        let (mut descending, mut least, mut tree) = (false, None, false);
        view.set_sort("mail", false).unwrap();
        for step in steps {
            match step {
                Step::Upsert(row, mail, parent) => {
                    let circular = parent.is_some_and(|parent| naive.descends(parent, row));
                    let accepted = view.upsert(&[row], cells("", mail, 0.0), parent.as_ref().map(std::slice::from_ref)).is_ok();
                    prop_assert_eq!(accepted, !circular);
                    if accepted {
                        naive.births += 1;
                        let born = naive.births;
                        let known = naive.rows.entry(row).or_insert((born, None, 0, true));
                        (known.1, known.2) = (parent, mail);
                    }
                }
                Step::Remove(row) => prop_assert_eq!(view.remove(&[row]).is_ok(), naive.rows.remove(&row).is_some()),
                Step::Toggle(row) => {
                    let known = naive.rows.get_mut(&row);
                    prop_assert_eq!(view.toggle(&[row]).is_ok(), known.is_some());
                    if let Some(known) = known {
                        known.3 = !known.3;
                    }
                }
                Step::Sort(wanted) => {
                    descending = wanted;
                    view.set_sort("mail", wanted).unwrap();
                }
                Step::Filter(wanted) => {
                    least = wanted;
                    view.set_filter(&wanted.map_or(String::new(), |least| format!("mail:>{least}"))).unwrap();
                }
                Step::Tree(wanted) => {
                    tree = wanted;
                    view.set_tree(wanted);
                }
            }
            view.refresh();
            let expected = naive.order(descending, least, tree);
            let got: Vec<(u8, usize)> = view.window(0, 99).map(|line| (line.id[0], line.depth)).collect();
            prop_assert_eq!(&got, &expected);
            for (position, (row, _)) in expected.iter().enumerate() {
                prop_assert_eq!(view.index_of(&[*row]), Some(position));
            }
            let tail: Vec<u8> = view.window(2, 3).map(|line| line.id[0]).collect();
            prop_assert_eq!(tail, expected.iter().skip(2).take(3).map(|(row, _)| *row).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_type_sorts_by_its_own_order(names in proptest::collection::vec("(sre/)?[abAéÉ日\\x00]{0,20}", 1..30), numbers in proptest::collection::vec((any::<i64>(), -1e9..1e9_f64), 30), descending: bool) {
        let mut view = view();
        for (index, (name, (mail, rate))) in names.iter().zip(&numbers).enumerate() {
            view.upsert(&[index as u8], cells(name, *mail, *rate), None).unwrap();
        }
        let mut expected: Vec<usize> = (0..names.len()).collect();
        let mut check = |column: &str, expected: &[usize]| {
            view.set_sort(column, descending).unwrap();
            view.refresh();
            let got: Vec<usize> = view.window(0, 99).map(|line| line.id[0] as usize).collect();
            assert_eq!(got, expected, "{column}");
        };
        let turn = |order: Ordering| if descending { order.reverse() } else { order };
        expected.sort_by(|a, b| turn(names[*a].to_lowercase().cmp(&names[*b].to_lowercase())).then(a.cmp(b)));
        check("name", &expected);
        expected.sort_by(|a, b| turn(numbers[*a].0.cmp(&numbers[*b].0)).then(a.cmp(b)));
        check("mail", &expected);
        expected.sort_by(|a, b| turn(numbers[*a].1.total_cmp(&numbers[*b].1)).then(a.cmp(b)));
        check("rate", &expected);
    }

    #[test]
    fn no_query_panics(query in "[a-z:!<>=/*?\" 0-9.]{0,30}") {
        let mut view = swarm();
        if view.set_filter(&query).is_ok() {
            view.refresh();
        }
    }
}
