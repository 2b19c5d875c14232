/* Classifies raw values with a .keel model: classify model.keel values.f32 (rows of floats, channels × height × width). */
#include <stdio.h>
#include <stdlib.h>

#include "evenkeel.h"

/* A whole file, at an address for anything; NULL when it cannot be read. */
static void *load(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    void *bytes = size > 0 ? malloc((size_t)size) : NULL;
    *length = bytes ? fread(bytes, 1, (size_t)size, file) : 0;
    fclose(file);
    return bytes;
}

static int fail(const char *what, ek_status status) {
    char text[160];
    ek_error_text(status, text, sizeof text);
    fprintf(stderr, "%s: %s\n", what, text);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: classify model.keel values.f32\n"), 2;
    size_t file_length = 0, values_length = 0, class_index = 0, length = 0;
    uint8_t *file = load(argv[1], &file_length);
    float *values = load(argv[2], &values_length);
    ek_model model;
    ek_session session;
    ek_model_info_t info;
    ek_status status = ek_model_verify(file, file_length, &model);
    if (status == EK_STATUS_OK) status = ek_model_info(&model, &info);
    if (status != EK_STATUS_OK) return fail(argv[1], status);
    status = ek_session_init(&session, &model, malloc(info.arena_len), info.arena_len);
    if (status != EK_STATUS_OK) return fail(argv[1], status);

    size_t count = info.input.height * info.input.width * info.input.channels;
    for (size_t row = 0; (row + 1) * count * sizeof(float) <= values_length; row++) {
        status = ek_quantise_input(&session, values + row * count, count);
        if (status == EK_STATUS_OK) status = ek_session_run(&session);
        if (status == EK_STATUS_OK) status = ek_session_classify(&session, &class_index);
        if (status != EK_STATUS_OK) return fail(argv[2], status);
        printf("class %zu output", class_index);
        const int8_t *output = ek_session_output(&session, &length);
        for (size_t i = 0; i < length; i++) printf(" %d", output[i]);
        printf("\n");
    }
    return 0;
}
