//! What the page of platforms says that an NFS server must support: operations, attributes, procedures, ports, limits. The
//! code of the clients has the same.

use super::page::{check_table, read};

const PAGE: &str = "docs/platforms.md";

/// The operations of `NFSv4` (RFC 8881, 16.2.3.1) that a client without files may send, with their numbers.
const OPERATIONS: [(&str, u32); 32] = [
    ("ACCESS", 3),
    ("CREATE", 6),
    ("GETATTR", 9),
    ("GETFH", 10),
    ("LINK", 11),
    ("LOOKUP", 15),
    ("LOOKUPP", 16),
    ("NVERIFY", 17),
    ("PUTFH", 22),
    ("PUTPUBFH", 23),
    ("PUTROOTFH", 24),
    ("READDIR", 26),
    ("READLINK", 27),
    ("REMOVE", 28),
    ("RENAME", 29),
    ("RESTOREFH", 31),
    ("SAVEFH", 32),
    ("SECINFO", 33),
    ("SETATTR", 34),
    ("VERIFY", 37),
    ("BACKCHANNEL_CTL", 40),
    ("BIND_CONN_TO_SESSION", 41),
    ("EXCHANGE_ID", 42),
    ("CREATE_SESSION", 43),
    ("DESTROY_SESSION", 44),
    ("FREE_STATEID", 45),
    ("SECINFO_NO_NAME", 52),
    ("SEQUENCE", 53),
    ("SET_SSV", 54),
    ("TEST_STATEID", 55),
    ("DESTROY_CLIENTID", 57),
    ("RECLAIM_COMPLETE", 58),
];

/// Returns the constants of type `u32` in a file, with decimal values.
fn constants(file: &str) -> Vec<(String, u32)> {
    let source = read(file);
    let lines = source.lines().filter_map(|line| {
        let line = line.trim_start_matches("pub(super) ");
        let (name, value) = line.strip_prefix("const ")?.split_once(": u32 = ")?;
        Some((name.to_owned(), value.trim_end_matches(';').parse().ok()?))
    });
    lines.collect()
}

/// Returns the names of the operations that the client of version 4 sends, by number.
fn operations() -> Vec<(&'static str, u32)> {
    let source = read("src/storage/nfs/v4/operation.rs");
    let numbers = source
        .split_once("pub fn number(&self) -> u32 {")
        .expect("the numbers")
        .1;
    let numbers = numbers.split_once("\n    }\n").expect("their end").0;
    let mut sent: Vec<u32> = numbers
        .lines()
        .filter_map(|line| line.split_once(" => ")?.1.trim_end_matches(',').parse().ok())
        .collect();
    assert!(sent.len() > 10, "only {sent:?}");
    for file in ["wire", "session"] {
        for (name, number) in constants(&format!("src/storage/nfs/v4/{file}.rs")) {
            if OPERATIONS.iter().any(|(known, _)| *known == name) {
                sent.push(number);
            }
        }
    }
    sent.sort_unstable();
    sent.dedup();
    let named = |number| OPERATIONS.into_iter().find(|(_, known)| *known == number);
    sent.into_iter()
        .map(|number| named(number).unwrap_or_else(|| panic!("operation {number} has no name here")))
        .collect()
}

#[test]
fn the_page_lists_the_operations_that_the_client_of_version_4_sends() {
    let row = |(name, number): (&str, u32)| vec![Some(format!("`{name}`")), Some(number.to_string()), None];
    let rows: Vec<_> = operations().into_iter().map(row).collect();
    check_table(PAGE, "| operation | number | used for |", &rows);
}

#[test]
fn the_page_lists_the_attributes_that_the_client_of_version_4_reads_and_sets() {
    const NOT_ATTRIBUTES: [&str; 2] = ["NF4DIR", "MAX_WORDS"];
    let all = constants("src/storage/nfs/v4/attributes.rs").into_iter();
    let attributes = all.filter(|(name, _)| !NOT_ATTRIBUTES.contains(&name.as_str()));
    let row = |(name, number): (String, u32)| {
        vec![
            Some(format!("`{}`", name.to_lowercase())),
            Some(number.to_string()),
            None,
        ]
    };
    let rows: Vec<_> = attributes.map(row).collect();
    assert!(rows.len() > 8, "{rows:?}");
    check_table(PAGE, "| attribute | number | needed |", &rows);
}

#[test]
fn the_page_lists_the_procedures_that_the_client_of_version_3_calls() {
    let source = read("src/storage/nfs/v3/procedure.rs");
    let calls = source.split_once("pub(super) enum Call<'a> {").expect("the calls").1;
    let calls = calls.split_once("\n}").expect("their end").0;
    let names = calls
        .lines()
        .filter_map(|line| line.trim().split_once('(').map(|(name, _)| name));
    let names = names
        .filter(|name| !name.starts_with("//"))
        .map(|name| (name.to_uppercase(), "NFS"));
    let mount = read("src/storage/nfs/v3/mount.rs");
    let others = [
        ("MNT", "mount", "MOUNTPROC3_MNT"),
        ("GETPORT", "portmapper", ".getport("),
    ];
    let others = others.into_iter().map(|(name, program, code)| {
        assert!(mount.contains(code), "the client does not call {name} any more");
        (name.to_owned(), program)
    });
    let row = |(name, program): (String, &str)| vec![Some(format!("`{name}`")), Some(program.to_owned()), None];
    let rows: Vec<_> = names.chain(others).map(row).collect();
    assert!(rows.len() > 10, "{rows:?}");
    check_table(PAGE, "| procedure | program | used for |", &rows);
}

#[test]
fn the_page_has_the_ports_and_the_limits_of_the_clients() {
    let page = read(PAGE);
    for (file, code, text) in [
        ("v4/server", "const PORT: u16 = 2049;", "2049"),
        ("v3/pool", "const PORT: u16 = 111;", "111"),
        ("v4/limits", "const FEWEST_OPERATIONS: u32 = 8;", "8 operations"),
        ("v4/limits", "const SMALLEST_MESSAGE: u32 = 4096;", "4096 bytes"),
        ("connect", "= 665..1024;", "665 to 1023"),
    ] {
        let file = format!("src/storage/nfs/{file}.rs");
        assert!(read(&file).contains(code), "{file} does not have {code}");
        assert!(page.contains(text), "{PAGE} does not say {text}");
    }
}

#[test]
fn every_statement_about_a_platform_says_how_it_is_known() {
    let page = read(PAGE);
    for header in [
        "| what to know | how it is known |",
        "| product | what its documentation says | what to set | how it is known |",
    ] {
        let mut rest = page.as_str();
        let mut tables = 0;
        while let Some((_, after)) = rest.split_once(header) {
            tables += 1;
            for row in after.lines().skip(2).take_while(|line| line.starts_with('|')) {
                let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
                assert!(
                    last.starts_with("**tried**") || last.starts_with("**documentation**"),
                    "{PAGE}: {row}"
                );
            }
            rest = after;
        }
        assert!(tables > 0, "{PAGE} has no table {header}");
    }
}
