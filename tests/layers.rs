//! The rooms of `src/` name only those that the table of `docs/design.md` lets them, and no files of `src/`, of a tool or of
//! `testkit/` name each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, Meta, UseTree};

/// A module, by its names from the crate's root on: `["shard", "journal"]`.
type Module = Vec<String>;

/// The modules of a crate that are compiled when nothing is tested, by name.
#[derive(Default)]
struct Crate {
    /// As others name it, its binary among them.
    name: String,
    modules: BTreeMap<Module, Source>,
}

#[derive(Default)]
struct Source {
    file: PathBuf,
    /// What `use` makes known in the module: a name, and the path that it stands for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Paths that the module names, as written, with their lines.
    paths: Vec<(Vec<String>, usize)>,
}

/// A file that names another.
struct Arrow {
    from: Module,
    to: Module,
    place: String,
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        meta => meta.path().is_ident("test"),
    })
}

impl Crate {
    /// `read`: a file's text, by its path under `src`; `None`: there is none.
    fn read(name: &str, read: &dyn Fn(&Path) -> Option<String>) -> Crate {
        let mut whole = Crate {
            name: name.to_owned(),
            ..Crate::default()
        };
        for root in ["lib.rs", "main.rs"] {
            if let Some(text) = read(Path::new(root)) {
                let module = match root {
                    "lib.rs" => Vec::new(),
                    _ => vec!["main".to_owned()],
                };
                whole.add(read, module, PathBuf::from(root), PathBuf::new(), &text);
            }
        }
        whole
    }

    /// `inside`: the folder of the module's own modules.
    fn add(
        &mut self,
        read: &dyn Fn(&Path) -> Option<String>,
        module: Module,
        file: PathBuf,
        inside: PathBuf,
        text: &str,
    ) {
        let parsed: File = syn::parse_file(text).unwrap_or_else(|error| {
            panic!("{}: {error}", file.display());
        });
        self.add_items(read, module, &file, &inside, &parsed.items);
    }

    fn add_items(
        &mut self,
        read: &dyn Fn(&Path) -> Option<String>,
        module: Module,
        file: &Path,
        inside: &Path,
        items: &[Item],
    ) {
        let mut reader = Reader {
            source: Source {
                file: file.to_owned(),
                ..Source::default()
            },
            modules: Vec::new(),
        };
        items.iter().for_each(|item| reader.visit_item(item));
        let modules = reader.modules;
        self.modules.insert(module.clone(), reader.source);
        for ItemMod { ident, content, .. } in modules {
            let name = ident.to_string();
            let mut child = module.clone();
            child.push(name.clone());
            let own = inside.join(&name);
            if let Some((_, items)) = content {
                self.add_items(read, child, file, &own, &items);
                continue;
            }
            let places = [own.with_extension("rs"), own.join("mod.rs")];
            let found = places
                .into_iter()
                .find_map(|place| Some((read(&place)?, place)));
            let (text, place) = found.unwrap_or_else(|| panic!("{own:?} is not there"));
            self.add(read, child, place, own, &text);
        }
    }

    /// The module that a path leads to from a module, through what others make known; `None`: it leads out of the
    /// crate, or is a name of the module itself.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        self.target_within(from, path, 8)
    }

    fn target_within(&self, from: &Module, path: &[String], steps: u32) -> Option<Module> {
        let steps = steps.checked_sub(1)?;
        let mut module = from.clone();
        let mut rest = path;
        let mut is_known = false;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                // A binary's own modules are below `main`.
                "crate" if !is_known => {
                    module.truncate(usize::from(module.first().is_some_and(|it| it == "main")));
                }
                name if !is_known && name == self.name => module.clear(),
                "self" => {}
                "super" => drop(module.pop()?),
                name => {
                    let mut child = module.clone();
                    child.push(name.to_owned());
                    if self.modules.contains_key(&child) {
                        module = child;
                    } else if let Some(alias) = self.alias(&module, name, is_known, path) {
                        let whole = [alias.as_slice(), behind].concat();
                        return self.target_within(&module, &whole, steps);
                    } else {
                        // An item of the module.
                        return (is_known && module != *from).then_some(module);
                    }
                }
            }
            is_known = true;
            rest = behind;
        }
        (module != *from).then_some(module)
    }

    /// What a name that `use` made known in a module stands for.
    fn alias(
        &self,
        module: &Module,
        name: &str,
        is_known: bool,
        path: &[String],
    ) -> Option<Vec<String>> {
        let alias = self.modules.get(module)?.aliases.get(name)?;
        // A `use` of the module's own is a path that is counted where it stands.
        (is_known && alias.as_slice() != path).then(|| alias.clone())
    }

    fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (from, source) in &self.modules {
            for (path, line) in &source.paths {
                if let Some(to) = self.target(from, path) {
                    arrows.push(Arrow {
                        from: from.clone(),
                        to,
                        place: format!("{}:{line}: {}", source.file.display(), path.join("::")),
                    });
                }
            }
        }
        arrows
    }
}

/// Collects what a module names, without what is there for tests only.
struct Reader {
    source: Source,
    modules: Vec<ItemMod>,
}

impl Reader {
    fn add_use(&mut self, before: &[String], tree: &UseTree, line: usize) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree, line),
            UseTree::Name(name) if name.ident == "self" => self.known(before, before, line),
            UseTree::Name(name) => self.known(&[name.ident.to_string()], &with(&name.ident), line),
            UseTree::Rename(rename) => {
                self.known(&[rename.rename.to_string()], &with(&rename.ident), line);
            }
            UseTree::Glob(_) => self.source.paths.push((before.to_vec(), line)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(before, tree, line);
                }
            }
        }
    }

    fn known(&mut self, name: &[String], path: &[String], line: usize) {
        let name = name.last().expect("a name").clone();
        self.source.aliases.insert(name, path.to_vec());
        self.source.paths.push((path.to_vec(), line));
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test_only(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        if !is_test_only(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.modules.push(module.clone());
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let line = item.use_token.span.start().line;
        self.add_use(&[], &item.tree, line);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        let line = path.segments[0].ident.span().start().line;
        if names.len() > 1 {
            self.source.paths.push((names, line));
        }
        visit::visit_path(self, path);
    }

    /// Of a macro's tokens: every `crate::…` and `super::…` in them.
    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.visit_path(&call.path);
        self.visit_tokens(call.tokens.clone());
    }
}

impl Reader {
    fn visit_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree;
        let (mut names, mut colons, mut line) = (Vec::new(), 0, 0);
        for tree in tokens {
            match tree {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut names, line);
                    }
                    line = ident.span().start().line;
                    names.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end_path(&mut names, line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.visit_tokens(group.stream());
                    }
                }
            }
        }
        self.end_path(&mut names, line);
    }

    fn end_path(&mut self, names: &mut Vec<String>, line: usize) {
        let names = std::mem::take(names);
        if names.len() > 1 {
            self.source.paths.push((names, line));
        }
    }
}

/// What each room may name: the rows of a table whose first column is a room and whose last is a list of rooms.
fn table(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let mut lines = document
        .lines()
        .skip_while(|line| !line.starts_with("| room |"));
    let header = lines.next().expect("a table of rooms");
    assert!(header.ends_with("| may name |"), "{header}");
    let mut rooms = BTreeMap::new();
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let named: BTreeSet<String> = quoted(cells[cells.len() - 1]).into_iter().collect();
        for room in quoted(cells[0]) {
            assert!(rooms.insert(room, named.clone()).is_none(), "{line}");
        }
    }
    rooms
}

/// Arrows between rooms that the table does not have, and rooms that are not in it.
fn wrong_arrows(whole: &Crate, rooms: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let built: BTreeSet<&String> = whole.modules.keys().filter_map(|it| it.first()).collect();
    for room in &built {
        if !rooms.contains_key(*room) {
            wrong.push(format!("{room} is not in the table"));
        }
    }
    for room in rooms.keys().filter(|room| !built.contains(room)) {
        wrong.push(format!("{room} is in the table, and not in src/"));
    }
    for arrow in whole.arrows() {
        let (Some(from), Some(to)) = (arrow.from.first(), arrow.to.first()) else {
            continue; // The crate's root, which names all of them.
        };
        let may = rooms.get(from).is_some_and(|named| named.contains(to));
        if from != to && !may {
            wrong.push(format!("{} ({from} may not name {to})", arrow.place));
        }
    }
    wrong
}

/// Files that name each other in a circle, but for a module and its own children.
fn circles(whole: &Crate) -> Vec<BTreeSet<PathBuf>> {
    let mut named: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for arrow in whole.arrows() {
        if !arrow.from.starts_with(&arrow.to) && !arrow.to.starts_with(&arrow.from) {
            let [from, to] = [&arrow.from, &arrow.to].map(|it| &*whole.modules[it].file);
            named.entry(from).or_default().insert(to);
        }
    }
    let reached = |from: &Path| {
        let mut reached: BTreeSet<&Path> = BTreeSet::new();
        let mut next: Vec<&Path> = named.get(from).into_iter().flatten().copied().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(named.get(file).into_iter().flatten());
            }
        }
        reached
    };
    let all: BTreeMap<&Path, BTreeSet<&Path>> =
        named.keys().map(|file| (*file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, reached) in &all {
        let back = |other: &&&Path| all.get(**other).is_some_and(|it| it.contains(file));
        let circle: BTreeSet<PathBuf> = reached.iter().filter(back).map(PathBuf::from).collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn of_galo() -> Crate {
    let whole = crate_in("galo", Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(whole.modules.len() > 50, "src/ is not read");
    whole
}

fn crate_in(name: &str, folder: &Path) -> Crate {
    let root = folder.join("src");
    Crate::read(name, &|path: &Path| {
        std::fs::read_to_string(root.join(path)).ok()
    })
}

/// The tools, and what tests share.
fn of_tools() -> Vec<Crate> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::fs::read_dir(root.join("tools")).unwrap();
    let folders = tools.map(|entry| entry.unwrap().path());
    let folders = folders.chain([root.join("testkit")]);
    let mut crates = Vec::new();
    for folder in folders {
        // Some are scripts.
        let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        let name = manifest.split('"').nth(1).expect("the name comes first");
        crates.push(crate_in(&name.replace('-', "_"), &folder));
    }
    for name in ["galo_bench", "galo_load", "galo_testkit"] {
        let found = crates.iter().find(|it| it.name == name);
        let read = found.is_some_and(|it| it.modules.len() > 10);
        assert!(read, "{name} is not read");
    }
    crates
}

#[test]
fn rooms_name_whom_the_table_lets_them() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let rooms = table(&std::fs::read_to_string(document).unwrap());
    let wrong = wrong_arrows(&of_galo(), &rooms);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    for whole in of_tools().iter().chain([&of_galo()]) {
        let circles = circles(whole);
        assert!(circles.is_empty(), "{}: {circles:#?}", whole.name);
    }
}

// ---- Planted violations ------------------------------------------------------------

const ROOMS: &str = "
| room | what it is | may name |
|---|---|---|
| `low` | | |
| `high`, `top` | | `low` |
";

fn planted(files: &'static [(&str, &str)]) -> Crate {
    Crate::read("galo", &|path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    })
}

#[test]
fn arrows_that_the_table_does_not_have_are_found() {
    let whole = planted(&[
        (
            "lib.rs",
            "mod low; mod high; mod top { pub fn f() { crate::high::g(); } }",
        ),
        (
            "low.rs",
            "use crate::high::Thing;
             #[cfg(test)] mod tests { use crate::top; }
             fn f() { println!(\"{}\", crate::top::f()); }
             fn g() -> super::high::inner::Other { todo!() }",
        ),
        (
            "high/mod.rs",
            "mod inner; use crate::low::X; pub use inner::Thing;",
        ),
        (
            "high/inner.rs",
            "use super::super::low; #[test] fn f() { crate::top::f(); }",
        ),
    ]);
    assert_eq!(
        wrong_arrows(&whole, &table(ROOMS)),
        [
            "low.rs:1: crate::high::Thing (low may not name high)",
            "low.rs:3: crate::top::f (low may not name top)",
            "low.rs:4: super::high::inner::Other (low may not name high)",
            "lib.rs:1: crate::high::g (top may not name high)",
        ]
    );
    let whole = planted(&[("lib.rs", "mod low {} mod cellar {}")]);
    assert_eq!(
        wrong_arrows(&whole, &table(ROOMS)),
        [
            "cellar is not in the table",
            "high is in the table, and not in src/",
            "top is in the table, and not in src/",
        ]
    );
}

#[test]
fn circles_are_found_through_what_a_module_makes_known() {
    let circle = |files| {
        let circles = circles(&planted(files));
        let files = circles.iter().flatten().map(|it| it.display().to_string());
        files.collect::<Vec<_>>()
    };
    // A module and its child.
    let own = circle(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; pub struct B;"),
    ]);
    assert!(own.is_empty(), "{own:?}");
    // Two children by what their parent makes known of the other.
    let siblings = circle(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
        ("a/b.rs", "use super::C; pub struct B;"),
        ("a/c.rs", "use crate::a::B; pub struct C;"),
    ]);
    assert_eq!(siblings, ["a/b.rs", "a/c.rs"]);
    // Three in a ring.
    let ring = circle(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "fn f() { crate::b::f(); }"),
        ("b.rs", "fn f() { crate::c::f(); }"),
        ("c.rs", "fn f() { crate::a::f(); }"),
    ]);
    assert_eq!(ring, ["a.rs", "b.rs", "c.rs"]);
    // Two of a binary, which has a library beside it with a file of the same name.
    let binary = circle(&[
        ("lib.rs", "pub mod a;"),
        ("a.rs", "pub fn f() {}"),
        ("main.rs", "mod b; mod c; fn f() { galo::a::f(); }"),
        ("b.rs", "fn f() { crate::c::f(); galo::a::f(); }"),
        ("c.rs", "fn f() { crate::b::f(); }"),
    ]);
    assert_eq!(binary, ["b.rs", "c.rs"]);
}
