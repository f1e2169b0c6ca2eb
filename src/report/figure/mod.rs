//! Figures: drawn once, shown in the page, and written as SVG and PNG.

mod axis;
mod calibration;
mod coding;
mod drawing;
mod font;
mod forest;
mod gains;
mod learning;
mod raster;
mod scatter;
mod svg;
mod timeline;

pub(super) use calibration::{Calibration, CalibrationPoint, reliability, systems};
pub(super) use drawing::Figure;
pub(super) use forest::{difference_forest, score_forest};
pub(super) use gains::{domain_gains, shift_gains};
pub(super) use learning::{ArmCurves, learning_curves};
pub(super) use timeline::timeline;
