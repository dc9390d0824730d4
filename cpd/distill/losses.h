#pragma once

#include <ATen/core/Tensor.h>

namespace cpd {

// Losses of a student against a teacher: scalars, differentiable in the student. Both tensors have
// the same shape, (N, C) or (N, C, positions ...); otherwise cpd::Error. Positions of a dense
// prediction count like samples unless said otherwise.

/// Kullback-Leibler divergence of the student's from the teacher's class probabilities, both
/// softened by a temperature T: T^2 sum_c p_c (log p_c - log q_c), mean over samples and positions.
/// The factor keeps the size of the gradients as T changes. Hinton et al., Distilling the Knowledge
/// in a Neural Network, 2015.
at::Tensor kl_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature = 4);

/// T^2 (between (1 - mean r of samples) + within (1 - mean r of classes)), where r is Pearson's
/// correlation of the softened probabilities: of one sample over the classes, of one class over the
/// samples and positions. Asks for the teacher's ranking, not for its very numbers: for teachers
/// much stronger than the student. Huang et al., Knowledge Distillation from a Stronger Teacher,
/// NeurIPS 2022.
at::Tensor dist_loss(const at::Tensor& student, const at::Tensor& teacher, double temperature = 1,
                     double between = 1, double within = 1);

/// Cross entropy with the class that the teacher finds most likely.
at::Tensor hard_label_loss(const at::Tensor& student, const at::Tensor& teacher);

/// Each channel's activations become a distribution over the positions (softmax at temperature T):
/// T^2 KL(teacher || student), mean over samples and channels. For dense prediction, on logits or
/// inner values; needs at least one dimension of positions. Shu et al., Channel-wise Knowledge
/// Distillation for Dense Prediction, ICCV 2021.
at::Tensor channel_wise_loss(const at::Tensor& student, const at::Tensor& teacher,
                             double temperature = 4);

/// Mean of the squared differences. Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015.
at::Tensor feature_loss(const at::Tensor& student, const at::Tensor& teacher);

}  // namespace cpd
