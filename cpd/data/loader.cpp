#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/label_map.h>
#include <cpd/data/loader.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

namespace cpd {
namespace {

/// Which images an epoch's batches hold, and how a batch is made; const, so usable on any thread.
class BatchPlan {
 public:
  BatchPlan(DatasetPointer dataset, LoaderOptions options)
      : dataset_(std::move(dataset)), options_(std::move(options)) {
    options_.verify();
    if (dataset_->size() == 0) throw Error("there are no images", {.path = dataset_->source()});
  }

  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }
  int64_t batches() const {
    const int64_t size = dataset_->size();
    return options_.drop_last ? size / options_.batch
                              : (size + options_.batch - 1) / options_.batch;
  }
  std::vector<int64_t> order(int64_t epoch) const {
    if (options_.shuffle) return permutation(dataset_->size(), mix(options_.seed, 1, epoch));
    std::vector<int64_t> order(static_cast<size_t>(dataset_->size()));
    std::iota(order.begin(), order.end(), int64_t{0});
    return order;
  }

  Batch make(const std::vector<int64_t>& order, int64_t epoch, int64_t batch) const {
    const at::NoGradGuard no_grad;
    const ImageShape& shape = options_.shape;
    const int64_t first = batch * options_.batch;
    const int64_t count = std::min(options_.batch, dataset_->size() - first);
    const int64_t labels = dataset_->has_label_maps() ? shape.height * shape.width : 1;
    Batch made{at::empty({count, shape.channels, shape.height, shape.width}),
               dataset_->has_label_maps() ? at::empty({count, shape.height, shape.width}, at::kLong)
                                          : at::empty({count}, at::kLong)};
    auto* pixels = made.images.mutable_data_ptr<float>();
    auto* classes = made.labels.mutable_data_ptr<int64_t>();
    const int64_t numel = shape.channels * shape.height * shape.width;
    for (int64_t i = 0; i < count; ++i) {
      made.samples.push_back(order[static_cast<size_t>(first + i)]);
      write(made.samples.back(), epoch, pixels + i * numel, classes + i * labels);
    }
    return made;
  }

 private:
  /// One image and its class or classes.
  void write(int64_t index, int64_t epoch, float* pixels, int64_t* classes) const {
    const ImageShape& shape = options_.shape;
    const Sample sample = dataset_->at(index);
    const uint64_t seed = mix(options_.seed, 2, epoch, index);
    write_normalised(fitted(sample.image, shape), options_.normalisation, options_.augmentation,
                     seed, pixels);
    if (dataset_->has_label_maps()) {
      write_label_map(fitted_label_map(sample.label_map, shape), options_.augmentation, seed,
                      classes);
    } else {
      *classes = sample.label;
    }
  }

  DatasetPointer dataset_;
  LoaderOptions options_;
};

/// Makes the batches of one epoch ahead of their use, a few at a time.
class Prefetcher {
 public:
  Prefetcher(const BatchPlan& plan, int64_t epoch, int64_t first)
      : worker_([this, &plan, epoch, first] { work(plan, epoch, first); }) {}
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    worker_.join();
  }

  std::optional<Batch> next() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return ended_ || !batches_.empty(); });
    if (batches_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    room_.notify_one();
    return batch;
  }

 private:
  void work(const BatchPlan& plan, int64_t epoch, int64_t first) {
    try {
      const std::vector<int64_t> order = plan.order(epoch);
      for (int64_t i = first; i < plan.batches(); ++i) {
        if (!push(plan.make(order, epoch, i))) return;
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    ready_.notify_all();
  }

  /// Waits for room; false if nobody wants more.
  bool push(Batch batch) {
    constexpr size_t kAhead = 4;
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return stopped_ || batches_.size() < kAhead; });
    if (stopped_) return false;
    batches_.push_back(std::move(batch));
    ready_.notify_one();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable room_;
  std::deque<Batch> batches_;
  std::exception_ptr error_;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread worker_;  ///< last: it uses the others
};

}  // namespace

void LoaderOptions::verify() const {
  if (batch < 1) {
    throw Error("the value is " + std::to_string(batch), {.path = "batch"}, "at least 1");
  }
  normalisation.verify(shape.channels);
}

class Loader::State {
 public:
  State(DatasetPointer dataset, LoaderOptions options)
      : plan_(std::move(dataset), std::move(options)) {}

  const BatchPlan& plan() const { return plan_; }

  void start(int64_t epoch, int64_t batch) {
    prefetcher_.reset();
    epoch_ = epoch;
    batch_ = batch;
    order_.clear();
    if (plan_.options().prefetch) prefetcher_.emplace(plan_, epoch, batch);
  }

  std::optional<Batch> next() {
    if (epoch_ < 0) start(0, 0);
    if (prefetcher_) return prefetcher_->next();
    if (batch_ >= plan_.batches()) return std::nullopt;
    if (order_.empty()) order_ = plan_.order(epoch_);
    return plan_.make(order_, epoch_, batch_++);
  }

 private:
  BatchPlan plan_;
  int64_t epoch_ = -1;
  int64_t batch_ = 0;
  std::vector<int64_t> order_;
  std::optional<Prefetcher> prefetcher_;
};

Loader::Loader(DatasetPointer dataset, LoaderOptions options)
    : state_(std::make_unique<State>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

const Dataset& Loader::dataset() const { return state_->plan().dataset(); }
const LoaderOptions& Loader::options() const { return state_->plan().options(); }
int64_t Loader::batches() const { return state_->plan().batches(); }
void Loader::start(int64_t epoch, int64_t batch) { state_->start(epoch, batch); }
std::optional<Batch> Loader::next() { return state_->next(); }

}  // namespace cpd
