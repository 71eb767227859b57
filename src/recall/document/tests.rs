//! Documents of all kinds, good, odd and hostile.

use proptest::prelude::*;

use super::*;

fn sections(kind: Kind, bytes: &[u8]) -> Vec<(String, String)> {
    let document = read(kind, bytes).expect("a document");
    document.sections.into_iter().map(|section| (section.heading, section.text)).collect()
}

fn pair(heading: &str, text: &str) -> (String, String) {
    (heading.to_owned(), text.to_owned())
}

#[test]
fn kinds_are_told_by_content_and_name() {
    for (name, bytes, kind) in [
        ("manual.pdf", &b"junk"[..], Some(Kind::Pdf)),
        ("manual", b"\n%PDF-1.4", Some(Kind::Pdf)),
        ("README.MD", b"# x", Some(Kind::Markdown)),
        ("page", b"  <!DOCTYPE html><p>", Some(Kind::Html)),
        ("notes", b"just words", Some(Kind::Text)),
        ("notes.unknown", b"just words", Some(Kind::Text)),
        ("blob", b"\x7fELF\x00\x01", None),
        ("wide", b"\xff\xfeh\0i\0", Some(Kind::Text)),
    ] {
        assert_eq!(Kind::of(name, bytes), kind, "{name}");
    }
}

#[test]
fn texts_are_read_in_the_encodings_people_have() {
    for bytes in [&b"K\xc3\xbcche"[..], b"\xef\xbb\xbfK\xc3\xbcche", b"K\xfcche", b"\xff\xfeK\0\xfc\0c\0h\0e\0"] {
        assert_eq!(sections(Kind::Text, bytes), [pair("", "Küche")]);
    }
    assert_eq!(read(Kind::Text, b" \n\t"), Err(DocumentError::Empty));
    assert_eq!(read(Kind::Text, b"...\n---"), Err(DocumentError::Empty), "nothing that could be found again");
}

#[test]
fn markdown_is_cut_along_its_headings() {
    let text = "---\ntitle: x\n---\nBefore.\n\n# House\n\n## Heating\n\nSet the *boiler* to `60`.\n\n1. Open\n2. Close\n\n\
                ### Filter\n\n| when | what |\n|---|---|\n| May | clean |\n\n## Garden\n- hose\n- [x] done\n";
    assert_eq!(
        sections(Kind::Markdown, text.as_bytes()),
        [
            pair("", "Before."),
            pair("House > Heating", "Set the boiler to 60.\n\n1. Open\n2. Close"),
            pair("House > Heating > Filter", "when | what\nMay | clean"),
            pair("House > Garden", "- hose\n- [x] done"),
        ]
    );
    assert_eq!(read(Kind::Markdown, text.as_bytes()).expect("read").title, "House");
}

#[test]
fn html_is_read_as_a_reader_sees_it() {
    let page = "<html><head><title>Boiler &amp; co</title><style>p{}</style><script>alert(1)</script></head><body>\
                <p>Intro</p><h1>Care</h1><p>Clean it <b>twice</b> a year.</p><h2>Never</h2><ul><li>hit it</li></ul></body></html>";
    let document = read(Kind::Html, page.as_bytes()).expect("read");
    assert_eq!(document.title, "Boiler & co");
    let brief: Vec<(&str, &str)> =
        document.sections.iter().map(|section| (section.heading.as_str(), section.text.as_str())).collect();
    assert_eq!(brief, [("", "Intro"), ("Care", "Clean it **twice** a year."), ("Never", "* hit it")]);
}

#[test]
fn pages_of_a_pdf_are_sections() {
    let pdf = a_pdf("BT /F1 12 Tf 72 700 Td (The boiler pressure is 1.5 bar.) Tj ET");
    assert_eq!(sections(Kind::Pdf, &pdf), [pair("page 1", "The boiler pressure is 1.5 bar.")]);
}

#[test]
fn pdfs_that_cannot_be_read_say_why() {
    let empty_page = a_pdf("0 0 100 100 re f");
    assert_eq!(read(Kind::Pdf, &empty_page), Err(DocumentError::NoText));
    let broken = DocumentError::Broken { kind: "PDF".to_owned() };
    assert_eq!(read(Kind::Pdf, b"%PDF-1.4 and then nothing"), Err(broken.clone()));
    assert_eq!(read(Kind::Pdf, &empty_page[..empty_page.len() / 3]), Err(broken));
    let locked = String::from_utf8_lossy(&empty_page).replace(
        "/Root 1 0 R",
        "/Root 1 0 R /ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <0000000000000000000000000000000000000000000000000000000000000000> /U <0000000000000000000000000000000000000000000000000000000000000000> >>",
    );
    assert_eq!(read(Kind::Pdf, locked.as_bytes()), Err(DocumentError::Encrypted));
}

/// The smallest PDF with this content on its one page.
fn a_pdf(content: &str) -> Vec<u8> {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(pdf.len());
        pdf.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let start = pdf.len();
    pdf.push_str("xref\n0 6\n0000000000 65535 f \n");
    for place in places {
        pdf.push_str(&format!("{place:010} 00000 n \n"));
    }
    pdf.push_str(&format!("trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"));
    pdf.into_bytes()
}

#[test]
fn deep_and_long_texts_do_no_harm() {
    for (kind, piece, times) in [
        (Kind::Html, "<div>", 3_000),
        (Kind::Html, "<blockquote>", 300),
        (Kind::Html, "<table><tr><td>", 60),
        (Kind::Markdown, "> ", 1_000),
        (Kind::Markdown, "[", 3_000),
        (Kind::Markdown, "- ", 500),
        (Kind::Markdown, "# a\n", 1_000),
    ] {
        let text = piece.repeat(times) + "word";
        let thread = std::thread::Builder::new().stack_size(64 * 1024 * 1024);
        let read = thread.spawn(move || read(kind, text.as_bytes()).map(|document| pieces(&document).len()));
        let _ = read.expect("a thread").join().expect("no panic");
    }
    let long = read(Kind::Text, "long words without an end ".repeat(400_000).as_bytes()).expect("read");
    assert!(long.bytes() <= TEXT_BYTES_MAX);
}

#[test]
fn a_folder_is_walked_without_what_programs_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["a.txt", "b/c.md", "b/skip.log", "b/photo.jpg", ".git/x.txt", "node_modules/y.md", "d/private/z.txt"] {
        std::fs::create_dir_all(at(name).parent().expect("a parent")).expect("made");
        std::fs::write(at(name), "x").expect("written");
    }
    std::fs::write(at(".kafclawignore"), "# mine\nprivate/\n*.log\n").expect("written");
    std::os::unix::fs::symlink(folder.path(), at("b/loop")).expect("linked");
    let found = walk(folder.path());
    let names: Vec<_> = found.files.iter().map(|file| file.path.strip_prefix(folder.path()).expect("below")).collect();
    assert_eq!(names, [std::path::Path::new("a.txt"), std::path::Path::new("b/c.md")]);
    assert!(walk(&at("nowhere")).files.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pieces_hold_the_whole_text_and_stay_small(text in "([a-zß。.!? \n]{0,40}|[a-z]{0,3000}){0,8}") {
        let document = Document { title: String::new(), sections: vec![Section { heading: "h".to_owned(), text: text.clone() }] };
        let pieces = pieces(&document);
        prop_assert!(pieces.iter().all(|piece| piece.content.len() <= 1_100 + 2 + 1));
        let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let whole: String = pieces.iter().map(|piece| squeezed(piece.content.strip_prefix("h\n").unwrap_or_default())).collect();
        prop_assert_eq!(whole, squeezed(&text));
    }

    #[test]
    fn any_bytes_are_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Kind::of("x", &bytes);
        let _ = read(Kind::Text, &bytes);
    }

    #[test]
    fn any_markdown_and_html_are_read(text in "([#>*\\-|`~\\[\\]()! \n\t]|[a-c]|<[a-z/ =\"]{0,6}>?|&[a-z]{0,3};?){0,120}") {
        let _ = read(Kind::Markdown, text.as_bytes());
        let _ = read(Kind::Html, text.as_bytes());
    }

    #[test]
    fn a_damaged_pdf_is_an_error_not_a_crash(at in 0_usize..700, byte in any::<u8>(), cut in 0_usize..900) {
        let mut pdf = a_pdf("BT /F1 12 Tf 72 700 Td (words) Tj ET");
        let place = at % pdf.len();
        pdf[place] = byte;
        pdf.truncate(pdf.len().min(900 - cut));
        let _ = read(Kind::Pdf, &pdf);
    }
}
