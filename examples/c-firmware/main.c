/* Classifies sensor values with a .keel model that lies in flash. What to change for a product: `read_sensor`, and
 * what happens with the class. */
#include "evenkeel.h"
#include "model.h"
#include "semihosting.h"

static ek_model model;
static ek_session session;
static _Alignas(16) uint8_t arena[MODEL_ARENA_LEN];
static float values[MODEL_INPUT_LEN];

/* A window of raw values, channels × height × width. Here they are made up. */
static void read_sensor(float *window, size_t count, size_t time) {
    for (size_t i = 0; i < count; i++) {
        window[i] = (float)((int)((i * 37 + time * 11) % 101) - 50) / 16.0f;
    }
}

/* Says why there is no class, and ends. */
static int fail(ek_status status) {
    char text[160];
    ek_error_text(status, text, sizeof text);
    put_text("error: ");
    put_text(text);
    put_text("\n");
    return 1;
}

/* One window: values, run, class. */
static ek_status classify(size_t time) {
    size_t class_index = 0, length = 0;
    read_sensor(values, MODEL_INPUT_LEN, time);
    ek_status status = ek_quantise_input(&session, values, MODEL_INPUT_LEN);
    if (status == EK_STATUS_OK) status = ek_session_run(&session);
    if (status == EK_STATUS_OK) status = ek_session_classify(&session, &class_index);
    if (status != EK_STATUS_OK) return status;

    put_text("class ");
    put_int((int)class_index);
    put_text(" output");
    const int8_t *output = ek_session_output(&session, &length);
    for (size_t i = 0; i < length; i++) {
        put_text(" ");
        put_int(output[i]);
    }
    put_text("\n");
    return EK_STATUS_OK;
}

int main(void) {
    ek_status status = ek_model_verify(model_keel, MODEL_LEN, &model);
    if (status == EK_STATUS_OK) status = ek_session_init(&session, &model, arena, sizeof arena);
    for (size_t time = 0; time < 4 && status == EK_STATUS_OK; time++) {
        status = classify(time);
    }
    return status == EK_STATUS_OK ? 0 : fail(status);
}
