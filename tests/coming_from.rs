//! The pages "Coming from ..." of the crate docs: they leave out no row of their seed, and what they name as a proof
//! exists. Their blocks of code are doctests of `switchboard`, all of them compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A system that is re-implemented, and the rows of what is owed to it: `prefix-01` to `prefix-rows`.
struct Seed {
    page: &'static str,
    prefix: &'static str,
    rows: u32,
}

const SEEDS: [Seed; 5] = [
    Seed {
        page: "xasyncsockets",
        prefix: "XAS",
        rows: 71,
    },
    Seed {
        page: "uasyncio",
        prefix: "UA",
        rows: 39,
    },
    Seed {
        page: "asyncore",
        prefix: "AC",
        rows: 26,
    },
    Seed {
        page: "asyncio",
        prefix: "AIO",
        rows: 46,
    },
    Seed {
        page: "asyncoro",
        prefix: "ACO",
        rows: 15,
    },
];

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../actors/src/coming_from")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages that `mod.rs` declares, each with its text.
fn declared() -> Vec<(String, String)> {
    let index = read(&pages().join("mod.rs"));
    let names = index.lines().filter_map(|line| {
        let name = line.strip_prefix("pub mod ")?;
        Some(name.trim_end_matches([' ', '{', '}', ';']).to_owned())
    });
    names
        .map(|name| {
            let text = read(&pages().join(format!("{name}.md")));
            (name, text)
        })
        .collect()
}

/// Every id of a row that a text names, such as `XAS-07`.
fn ids(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| {
            word.split_once('-').is_some_and(|(seed, number)| {
                number.len() == 2
                    && number.bytes().all(|digit| digit.is_ascii_digit())
                    && SEEDS.iter().any(|known| known.prefix == seed)
            })
        })
        .collect()
}

#[test]
fn each_seed_has_a_page_that_is_declared_and_linked() {
    let index = read(&pages().join("mod.rs"));
    let declared: BTreeSet<String> = declared().into_iter().map(|(name, _)| name).collect();
    let owed = SEEDS.iter().map(|seed| seed.page.to_owned());
    assert_eq!(declared, owed.collect());
    for page in &declared {
        assert!(
            index.contains(&format!("({page}/index.html)")),
            "{page} is not in the table of `coming_from`"
        );
    }
    for entry in fs::read_dir(pages()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if let Some(page) = file.strip_suffix(".md") {
            assert!(declared.contains(page), "{file} is declared nowhere");
        }
    }
}

#[test]
fn each_page_names_every_row_of_its_seed() {
    for (page, text) in declared() {
        let Some(seed) = SEEDS.iter().find(|seed| seed.page == page) else {
            continue;
        };
        let named = ids(&text);
        let owed: BTreeSet<String> = (1..=seed.rows)
            .map(|row| format!("{}-{row:02}", seed.prefix))
            .collect();
        let missing: Vec<_> = owed.iter().filter(|id| !named.contains(&***id)).collect();
        assert!(missing.is_empty(), "{page}.md does not name {missing:?}");
        let own = format!("{}-", seed.prefix);
        for id in named.iter().filter(|id| id.starts_with(&own)) {
            assert!(owed.contains(*id), "{page}.md: there is no row {id}");
        }
    }
}

/// The names behind `test:`, as a suite and the path of a function in it; `Err` has what is none.
fn proofs(text: &str) -> impl Iterator<Item = Result<(&str, &str), &str>> {
    text.split("test: ").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:/".contains(c));
        let name = &rest[..end.unwrap_or(rest.len())];
        let named = name.strip_prefix("tests/");
        named.and_then(|name| name.split_once("::")).ok_or(name)
    })
}

/// The sources of a suite, as `tests/Cargo.toml` has it: all of its folder, or its file and the modules beside it.
fn sources(suite: &str) -> Option<String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = read(&home.join("Cargo.toml"));
    let named = format!("name = \"{suite}\"");
    let entry = manifest
        .split("[[")
        .filter_map(|entry| entry.strip_prefix("test]]"))
        .find(|entry| entry.lines().any(|line| line == named))?;
    let path = entry
        .lines()
        .find_map(|line| line.strip_prefix("path = "))?
        .trim_matches('"');
    let (root, mut all) = (home.join(path), String::new());
    if root.ends_with("main.rs") {
        gather(root.parent()?, &mut all);
    } else {
        all = read(&root);
        let modules = all.lines().filter_map(|line| line.strip_prefix("mod "));
        let files: Vec<_> = modules
            .map(|module| home.join(format!("{}.rs", module.trim_end_matches(';'))))
            .collect();
        for file in files {
            all.push_str(&read(&file));
        }
    }
    Some(all)
}

fn gather(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, all);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            all.push_str(&read(&path));
        }
    }
}

/// Whether there is a test of this name: a function with an attribute that ends in `test`.
fn has_test(sources: &str, function: &str) -> bool {
    let signature = format!("fn {function}(");
    let lines: Vec<&str> = sources.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev();
        line.trim_start_matches("async ").starts_with(&signature)
            && above
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .any(|line| line.ends_with("test]"))
    })
}

#[test]
fn each_test_that_a_page_names_exists() {
    let mut wrong = Vec::new();
    for (page, text) in declared() {
        let mut named = 0;
        for proof in proofs(&text) {
            named += 1;
            match proof {
                Err(other) => wrong.push(format!("{page}: {other} is no `tests/suite::name`")),
                Ok((suite, path)) => {
                    let function = path.rsplit("::").next().unwrap_or(path);
                    match sources(suite) {
                        None => wrong.push(format!("{page}: there is no suite {suite}")),
                        Some(all) if !has_test(&all, function) => {
                            wrong.push(format!("{page}: no test {function} in {suite}"));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        assert!(named > 0, "{page}.md names no test");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The anchors of a page's headings below which a block of Rust stands before the next heading, as rustdoc names them.
fn shown(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading, mut inside) = (BTreeSet::new(), None, false);
    for line in text.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside;
            let rust = ["", "rust", "no_run", "rust,no_run"].contains(&fence);
            if inside && rust {
                anchors.extend(heading.clone());
            }
        } else if !inside && line.starts_with('#') {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || *c == ' ');
            heading = Some(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

/// The tables of rows have a last column, "shown by", where each line names a test or a section with a block.
#[test]
fn each_line_says_by_what_it_is_shown() {
    for (page, text) in declared() {
        let (shown, mut says, mut lines) = (shown(&text), false, 0);
        for line in text.lines() {
            if !line.starts_with('|') {
                says = false;
                continue;
            }
            let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or("");
            if line.starts_with("| row |") {
                says = last.trim() == "shown by";
                assert!(says, "{page}.md: a table says not by what it is shown");
            } else if !says {
                // Those tables that only introduce a page have no rows.
                assert!(
                    ids(line).is_empty(),
                    "{page}.md: a table begins with {line}"
                );
            } else if !last.starts_with("---") {
                lines += 1;
                let sections: Vec<&str> = last
                    .split("(#")
                    .skip(1)
                    .filter_map(|rest| rest.split_once(')').map(|(anchor, _)| anchor))
                    .collect();
                for anchor in &sections {
                    let there = shown.contains(*anchor);
                    assert!(there, "{page}.md: no block below #{anchor}");
                }
                let proved = !sections.is_empty() || last.contains("test: ");
                assert!(proved, "{page}.md: nothing shows {line}");
            }
        }
        assert!(lines > 0, "{page}.md has no table of rows");
    }
}

/// The marks of blocks that rustdoc does not compile though it takes them for Rust.
fn uncompiled(text: &str) -> Vec<&str> {
    let marks = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("```"));
    marks
        .filter(|mark| {
            mark.split([',', ' '])
                .any(|word| word.starts_with("ignore"))
        })
        .collect()
}

#[test]
fn each_block_is_compiled() {
    for (page, text) in declared() {
        let marks = uncompiled(&text);
        assert!(marks.is_empty(), "{page}.md: {marks:?}");
    }
}

#[test]
fn what_is_wrong_would_be_seen() {
    let rows = ids("XAS-01, (XAS-07) and AC-23; XAS-1, T-05 and FOO-11 are none");
    assert_eq!(rows, BTreeSet::from(["XAS-01", "XAS-07", "AC-23"]));
    let found: Vec<_> = proofs("test: tests/a::b::c_1. test: `x`, test: tests/a").collect();
    assert_eq!(found, [Ok(("a", "b::c_1")), Err(""), Err("tests/a")]);
    let code = "#[test]\n/// Why.\nfn one() {}\nfn two() {}\n#[actix::test]\nasync fn three() {}\n";
    assert!(has_test(code, "one") && !has_test(code, "two") && !has_test(code, "on"));
    assert!(has_test(code, "three"));
    assert!(sources("coming_from").is_some() && sources("nothing").is_none());
    let marks = "```\n```\n```rust,ignore\n```\n```ignore-unix\n```\n```text\n```\nto ignore\n";
    assert_eq!(uncompiled(marks), ["rust,ignore", "ignore-unix"]);
    let page = "## A line, twice\n```\n```\n## No block\n## Text\n```text\n# x\n```\n";
    assert_eq!(shown(page), BTreeSet::from(["a-line-twice".to_owned()]));
}
