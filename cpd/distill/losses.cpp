#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/kl_div.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/softmax.h>
#include <cpd/core/error.h>
#include <cpd/distill/losses.h>

#include <string>

namespace cpd {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  std::string text;
  for (const int64_t size : tensor.sizes())
    text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

void check_shapes(const at::Tensor& student, const at::Tensor& teacher, int64_t least_rank) {
  if (student.sizes() != teacher.sizes()) {
    throw Error("the student's values have shape " + shape_text(student), {},
                shape_text(teacher) + ", as the teacher's have");
  }
  if (student.dim() < least_rank || student.numel() == 0) {
    throw Error("values to be compared have shape " + shape_text(student), {},
                least_rank > 2 ? "(samples, channels, positions), none of them 0"
                               : "(samples, classes), none of them 0");
  }
}

/// KL(teacher || student) of distributions along `dim`, summed.
at::Tensor summed_kl(const at::Tensor& student, const at::Tensor& teacher, int64_t dim,
                     double temperature) {
  return at::kl_div(at::log_softmax(student / temperature, dim),
                    at::log_softmax(teacher / temperature, dim), at::Reduction::Sum,
                    /*log_target=*/true);
}

/// Softened probabilities with a row for each sample and position.
at::Tensor probability_rows(const at::Tensor& logits, double temperature) {
  return at::softmax(logits / temperature, 1).movedim(1, -1).reshape({-1, logits.size(1)});
}

/// 1 - Pearson's correlation along `dim`, mean over the other dimension.
at::Tensor lost_correlation(const at::Tensor& a, const at::Tensor& b, int64_t dim) {
  return 1 - at::cosine_similarity(a - a.mean(dim, true), b - b.mean(dim, true), dim).mean();
}

}  // namespace

at::Tensor kl_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  check_shapes(student, teacher, 2);
  const auto distributions = static_cast<double>(student.numel() / student.size(1));
  return summed_kl(student, teacher, 1, temperature) * (temperature * temperature / distributions);
}

at::Tensor dist_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature,
                     double between, double within) {
  check_shapes(student, teacher, 2);
  const at::Tensor q = probability_rows(student, temperature);
  const at::Tensor p = probability_rows(teacher, temperature);
  return (lost_correlation(q, p, 1) * between + lost_correlation(q, p, 0) * within) *
         (temperature * temperature);
}

at::Tensor hard_label_loss(const at::Tensor& student, const at::Tensor& teacher) {
  check_shapes(student, teacher, 2);
  return at::cross_entropy_loss(student, teacher.argmax(1));
}

at::Tensor channel_wise_loss(const at::Tensor& student, const at::Tensor& teacher,
                             double temperature) {
  check_shapes(student, teacher, 3);
  const auto channels = static_cast<double>(student.size(0) * student.size(1));
  return summed_kl(student.flatten(2), teacher.flatten(2), 2, temperature) *
         (temperature * temperature / channels);
}

at::Tensor feature_loss(const at::Tensor& student, const at::Tensor& teacher) {
  check_shapes(student, teacher, 0);
  return at::mse_loss(student, teacher);
}

}  // namespace cpd
