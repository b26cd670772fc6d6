// SPDX-License-Identifier: Apache-2.0
#include "infer/runge_kutta.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"

namespace tl {
namespace {

// A smooth row takes some hundred.
constexpr int64_t kMostEvaluations = 100000;

constexpr int kStages = 7;
constexpr double kNodes[kStages] = {0.0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1.0, 1.0};
// Row s: the slopes that stage s starts from. The last is the solution of order 5, so that its
// slope is the next step's first.
constexpr double kWeights[kStages][kStages - 1] = {
    {},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
// Order 5 less order 4.
constexpr double kError[kStages] = {71.0 / 57600,      0.0,        -71.0 / 16695, 71.0 / 1920,
                                    -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

struct IntegralRow {
  double t, step;
  bool refused = false;
  int64_t evaluations = 1;
};

class RowIntegrator {
 public:
  RowIntegrator(const RowIntegral& integral, const RowSlopes& slopes, std::vector<double>* y)
      : integral_(integral),
        slopes_(slopes),
        y_(*y),
        width_(y->size() / static_cast<size_t>(integral.rows)),
        rows_(static_cast<size_t>(integral.rows),
              {.t = integral.from, .step = 0.01 * (integral.to - integral.from)}),
        t_(rows_.size(), integral.from),
        stage_(y->size()) {
    TL_CHECK(width_ * rows_.size() == y->size() && integral.judged_alone >= 0 &&
             static_cast<size_t>(integral.judged_alone) <= width_);
    for (std::vector<double>& k : k_) k.resize(y->size());
  }

  absl::StatusOr<std::vector<int64_t>> Run() {
    TL_RETURN_IF_ERROR(slopes_(t_, y_, absl::MakeSpan(k_[0])));
    while (
        std::any_of(rows_.begin(), rows_.end(), [&](const IntegralRow& r) { return !Done(r); })) {
      TL_RETURN_IF_ERROR(Try());
    }
    std::vector<int64_t> evaluations;
    for (const IntegralRow& row : rows_) evaluations.push_back(row.evaluations);
    return evaluations;
  }

 private:
  bool Done(const IntegralRow& row) const { return row.t == integral_.to; }

  // One step of every row that is not at the end; those that are stay there.
  absl::Status Try() {
    for (IntegralRow& row : rows_) {
      const double left = integral_.to - row.t;
      if (Done(row) || std::fabs(row.step) >= std::fabs(left)) row.step = left;
      // Not two steps where the second is a splinter.
      if (std::fabs(row.step) < std::fabs(left) && 2.0 * std::fabs(row.step) > std::fabs(left))
        row.step = 0.5 * left;
    }
    for (int s = 1; s < kStages; ++s) {
      Stage(s);
      TL_RETURN_IF_ERROR(slopes_(t_, stage_, absl::MakeSpan(k_[s])));
    }
    for (size_t r = 0; r < rows_.size(); ++r) {
      if (!Done(rows_[r])) TL_RETURN_IF_ERROR(Judge(r));
    }
    return absl::OkStatus();
  }

  void Stage(int s) {
    for (size_t r = 0; r < rows_.size(); ++r) {
      t_[r] = rows_[r].t + kNodes[s] * rows_[r].step;
      for (size_t i = r * width_; i < (r + 1) * width_; ++i) {
        double sum = 0.0;
        for (int j = 0; j < s; ++j) sum += kWeights[s][j] * k_[j][i];
        stage_[i] = y_[i] + rows_[r].step * sum;
      }
    }
  }

  // The step's error in tolerances. stage_ holds what the step has come to.
  double Error(size_t r) const {
    const size_t together = width_ - static_cast<size_t>(integral_.judged_alone);
    double squares = 0.0, most = 0.0;
    for (size_t i = 0; i < width_; ++i) {
      const size_t at = r * width_ + i;
      double error = 0.0;
      for (int s = 0; s < kStages; ++s) error += kError[s] * k_[s][at];
      const double scale =
          integral_.tolerance * (1.0 + std::max(std::fabs(y_[at]), std::fabs(stage_[at])));
      error *= rows_[r].step / scale;
      if (!std::isfinite(error)) return error * error;
      if (i < together) {
        squares += error * error;
      } else {
        most = std::max(most, std::fabs(error));
      }
    }
    if (together > 0) most = std::max(most, std::sqrt(squares / static_cast<double>(together)));
    return most;
  }

  // Accepts a row's step or not, and sets its next.
  absl::Status Judge(size_t r) {
    IntegralRow& row = rows_[r];
    row.evaluations += kStages - 1;
    const double error = Error(r);
    const double factor = error == 0.0 ? 10.0 : 0.9 * std::pow(error, -0.2);
    if (error <= 1.0) {
      Accept(r, factor);
    } else {
      row.step *= std::isfinite(factor) ? std::clamp(factor, 0.2, 0.9) : 0.2;
      row.refused = true;
    }
    const double least = 1e-12 * std::fabs(integral_.to - integral_.from);
    if (Done(row) || (std::fabs(row.step) >= least && row.evaluations < kMostEvaluations))
      return absl::OkStatus();
    return absl::InternalError(absl::StrCat(
        "sample ", integral_.samples.empty() ? static_cast<int64_t>(r) : integral_.samples[r],
        ": the integral's error stays above ", integral_.tolerance, " at ", row.t, " after ",
        row.evaluations, " evaluations"));
  }

  void Accept(size_t r, double factor) {
    IntegralRow& row = rows_[r];
    row.t = row.step == integral_.to - row.t ? integral_.to : row.t + row.step;
    row.step *= std::clamp(factor, 0.2, row.refused ? 1.0 : 10.0);
    row.refused = false;
    const auto begin = static_cast<std::ptrdiff_t>(r * width_);
    std::copy_n(stage_.begin() + begin, width_, y_.begin() + begin);
    std::copy_n(k_[kStages - 1].begin() + begin, width_, k_[0].begin() + begin);
  }

  const RowIntegral integral_;
  const RowSlopes& slopes_;
  std::vector<double>& y_;
  const size_t width_;
  std::vector<IntegralRow> rows_;
  std::vector<double> t_, stage_;
  std::vector<double> k_[kStages];
};

}  // namespace

absl::StatusOr<std::vector<int64_t>> IntegrateRows(const RowIntegral& integral,
                                                   const RowSlopes& slopes,
                                                   std::vector<double>* y) {
  if (integral.rows == 0 || integral.from == integral.to)
    return std::vector<int64_t>(static_cast<size_t>(integral.rows), 0);
  return RowIntegrator(integral, slopes, y).Run();
}

}  // namespace tl
