//! A C array of the file, and a header with its constants.

use super::{Facts, File};
use std::fmt::Write;

/// `name.h`, `name.c` and a README, to be built with `evenkeel.h` and `libevenkeel.a`.
pub fn to_c(facts: &Facts) -> Vec<File> {
    let name = facts.identifier();
    vec![
        (format!("{name}.h").into(), header(facts).into_bytes()),
        (format!("{name}.c").into(), source(facts).into_bytes()),
        ("README.md".into(), readme(facts).into_bytes()),
    ]
}

fn header(facts: &Facts) -> String {
    let name = facts.identifier();
    let upper = name.to_ascii_uppercase();
    let [h, w, c] = facts.input_shape;
    let ((scale, zero), (out_scale, out_zero)) = (facts.input_scale, facts.output_scale);
    let groups = if facts.groups.is_empty() {
        String::new()
    } else {
        format!("/* Names of the groups, by their index. */\nextern const char *const {name}_groups[{upper}_GROUPS];\n")
    };
    format!(
        "/* {file}.keel: {len} bytes, checksum {crc:08x}, packed for {packing}. Written by `evenkeel export`. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {{
#endif

/* Bytes of the file. */
#define {upper}_LEN {len}u
/* Bytes of arena that a session needs; the arena starts at a multiple of 4. */
#define {upper}_ARENA_LEN {arena}u
/* The input: height, width, channels, and its number of values. */
#define {upper}_INPUT_HEIGHT {h}u
#define {upper}_INPUT_WIDTH {w}u
#define {upper}_INPUT_CHANNELS {c}u
#define {upper}_INPUT_LEN {input_len}u
/* real = scale * (q - zero) */
#define {upper}_INPUT_SCALE {scale:?}f
#define {upper}_INPUT_ZERO ({zero})
#define {upper}_OUTPUT_SCALE {out_scale:?}f
#define {upper}_OUTPUT_ZERO ({out_zero})
/* Values of the output; a classifier has one per class. */
#define {upper}_OUTPUT_LEN {output}u
/* Groups that the monitor watches. */
#define {upper}_GROUPS {group_count}u

/* The file. It lies in flash, at a multiple of 16. */
extern const uint8_t {name}_keel[{upper}_LEN];
{groups}
#ifdef __cplusplus
}}
#endif

#endif /* {upper}_H */
",
        file = facts.name,
        len = facts.bytes.len(),
        crc = facts.crc,
        packing = facts.packing,
        arena = facts.arena_len,
        input_len = facts.input_len(),
        output = facts.output_len,
        group_count = facts.groups.len(),
    )
}

fn source(facts: &Facts) -> String {
    let name = facts.identifier();
    let upper = name.to_ascii_uppercase();
    let mut text = format!(
        "/* {}.keel as an array. Written by `evenkeel export`. */\n#include \"{name}.h\"\n\n\
         _Alignas(16) const uint8_t {name}_keel[{upper}_LEN] = {{\n",
        facts.name
    );
    for line in facts.bytes.chunks(20) {
        let values: Vec<String> = line.iter().map(u8::to_string).collect();
        text.push_str("  ");
        text.push_str(&values.join(","));
        text.push_str(",\n");
    }
    text.push_str("};\n");
    if !facts.groups.is_empty() {
        text.push_str(&format!("\nconst char *const {name}_groups[{upper}_GROUPS] = {{\n"));
        facts.groups.iter().for_each(|group| text.push_str(&format!("  {},\n", literal(group))));
        text.push_str("};\n");
    }
    text
}

/// A C string. Octal escapes, because those of hexadecimal digits swallow digits behind them.
fn literal(s: &str) -> String {
    let mut text = String::from("\"");
    for byte in s.bytes() {
        let _ = match byte {
            b'"' | b'\\' | b'?' => write!(text, "\\{}", byte as char),
            b' '..=b'~' => write!(text, "{}", byte as char),
            _ => write!(text, "\\{byte:03o}"),
        };
    }
    text + "\""
}

fn readme(facts: &Facts) -> String {
    let name = facts.identifier();
    let upper = name.to_ascii_uppercase();
    format!(
        "# {file}

`{file}.keel` as C source: {len} bytes of flash, {arena} bytes of RAM, packed for {packing}.

Compile `{name}.c` with your firmware and link it with `libevenkeel.a` (`cargo xtask c-library`):

```c
#include \"{name}.h\"
#include \"evenkeel.h\"

static _Alignas(16) uint8_t arena[{upper}_ARENA_LEN];
static ek_model model;
static ek_session session;

ek_status start(void) {{
    ek_status status = ek_model_verify({name}_keel, {upper}_LEN, &model);
    if (status != EK_STATUS_OK) return status;
    return ek_session_init(&session, &model, arena, sizeof arena);
}}

ek_status classify(const float values[{upper}_INPUT_LEN], size_t *class_index) {{
    ek_status status = ek_quantise_input(&session, values, {upper}_INPUT_LEN);
    if (status == EK_STATUS_OK) status = ek_session_run(&session);
    if (status == EK_STATUS_OK) status = ek_session_classify(&session, class_index);
    return status;
}}
```

`values` are raw, in the order channels × height × width; the model brings their normalisation.
",
        file = facts.name,
        len = facts.bytes.len(),
        arena = facts.arena_len,
        packing = facts.packing,
    )
}
