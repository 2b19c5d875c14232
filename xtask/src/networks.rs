//! The networks that are measured, and what is known of them elsewhere.

/// A reference network of MLPerf Tiny, with what other runtimes need for it.
pub struct Reference {
    /// Its name in `../shared/models/mlperf_tiny`.
    pub name: &'static str,
    /// Instructions of CMSIS-NN on the same emulated cores: Cortex-M4, then Cortex-M55.
    pub cmsis_nn: [u64; 2],
    /// Bytes of the published int8 .tflite file.
    pub tflite: u64,
    /// Bytes of arena that TFLite Micro takes.
    pub tflm_arena: u64,
}

/// The four of them.
pub const MLPERF: [Reference; 4] = [
    Reference { name: "kws", cmsis_nn: [7_842_088, 1_781_952], tflite: 53_936, tflm_arena: 24_272 },
    Reference { name: "vww", cmsis_nn: [24_710_857, 6_423_459], tflite: 333_288, tflm_arena: 103_680 },
    Reference { name: "ic", cmsis_nn: [29_869_260, 4_805_949], tflite: 98_496, tflm_arena: 55_984 },
    Reference { name: "ad", cmsis_nn: [579_258, 146_870], tflite: 276_976, tflm_arena: 3_984 },
];

/// The networks of ../shared/models and the data that belongs to each.
pub const MODELS: [(&str, &str); 6] = [
    ("har_cnn", "motionsense"),
    ("har_cnn_bn", "motionsense"),
    ("har_dscnn", "motionsense"),
    ("ecg_resnet1d", "mitbih"),
    ("face_resnet8", "fairface32"),
    ("face_mbv2", "fairface32"),
];

/// Bytes to what the face networks take: (x/255 - 0.5) / 0.25.
pub const BYTES: &[&str] = &["--scale", "0.003921569", "--mean", "0.5", "--std", "0.25"];

/// All of them, by name.
pub fn all() -> impl Iterator<Item = &'static str> {
    MLPERF.iter().map(|m| m.name).chain(MODELS.iter().map(|m| m.0))
}

/// The reference network of that name.
pub fn reference(name: &str) -> Option<&'static Reference> {
    MLPERF.iter().find(|m| m.name == name)
}
