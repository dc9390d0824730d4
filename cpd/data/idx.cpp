#include <ATen/ops/empty.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/idx.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <memory>

namespace cpd {
namespace {

constexpr const char* kFashionMnist = "/usr/share/datasets/fashion-mnist";
constexpr size_t kLargest = size_t{1} << 31;

bool is_gzip(std::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

[[noreturn]] void throw_damaged(const std::string& name, const std::string& problem) {
  throw Error(problem, {.path = name}, "a whole gzip file");
}

/// Unpacks a gzip file.
std::string inflated(std::string_view bytes, const std::string& name) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) throw_damaged(name, "zlib cannot be started");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, &inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::string buffer(size_t{1} << 18, '\0');
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    if (status == Z_BUF_ERROR) throw_damaged(name, "the compressed data end too early");
    if (status != Z_OK && status != Z_STREAM_END)
      throw_damaged(name, "the compressed data are damaged");
    out.append(buffer.data(), buffer.size() - stream.avail_out);
    if (out.size() > kLargest) throw_damaged(name, "the file unpacks to more than 2 GiB");
  }
  return out;
}

uint32_t big_endian(std::string_view bytes, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

at::Tensor parse_plain(std::string_view bytes, const std::string& name) {
  const bool magic = bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[3] > 0;
  if (!magic) {
    throw Error("the magic number of the IDX format is missing", {.path = name},
                "0, 0, an element type, a number of dimensions");
  }
  if (bytes[2] != 8) {
    throw Error("the element type is " + std::to_string(static_cast<uint8_t>(bytes[2])),
                {.path = name}, "8 (bytes)");
  }
  const auto rank = static_cast<size_t>(bytes[3]);
  const size_t start = 4 + 4 * rank;
  if (rank > 8 || bytes.size() < start) {
    throw Error("the header of " + std::to_string(rank) + " dimensions is cut off", {.path = name},
                "at most 8 dimensions and all of their sizes");
  }
  std::vector<int64_t> shape;
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    shape.push_back(big_endian(bytes, 4 + 4 * i));
    // Growing beyond any file already; also keeps the product from overflowing.
    count = count > kLargest ? count : count * static_cast<size_t>(shape.back());
  }
  if (bytes.size() - start != count) {
    throw Error("there are " + std::to_string(bytes.size() - start) + " bytes of data",
                {.path = name}, std::to_string(count) + " as the header says");
  }
  at::Tensor tensor = at::empty(shape, at::kByte);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data() + start, count);
  return tensor;
}

/// The path of one of MNIST's files, plain or compressed.
std::string find_idx(const std::string& folder, const std::string& name) {
  const std::filesystem::path plain = std::filesystem::path(folder) / name;
  if (std::filesystem::exists(plain)) return plain.string();
  return plain.string() + ".gz";
}

at::Tensor read_idx(const std::string& path, int64_t rank) {
  at::Tensor tensor = parse_idx(read_file(path), path);
  if (tensor.dim() != rank) {
    throw Error("there are " + std::to_string(tensor.dim()) + " dimensions", {.path = path},
                std::to_string(rank));
  }
  return tensor;
}

}  // namespace

at::Tensor parse_idx(std::string_view bytes, const std::string& name) {
  return is_gzip(bytes) ? parse_plain(inflated(bytes, name), name) : parse_plain(bytes, name);
}

bool is_idx_folder(const std::string& folder) {
  return std::filesystem::exists(find_idx(folder, "train-images-idx3-ubyte")) ||
         std::filesystem::exists(find_idx(folder, "t10k-images-idx3-ubyte"));
}

DatasetPointer load_idx_folder(const std::string& folder, const std::string& split,
                               std::vector<std::string> classes) {
  const std::string stem = split == "train" ? "train" : "t10k";
  const at::Tensor images = read_idx(find_idx(folder, stem + "-images-idx3-ubyte"), 3);
  const at::Tensor labels = read_idx(find_idx(folder, stem + "-labels-idx1-ubyte"), 1);
  return tensor_dataset(images.unsqueeze(1), labels, folder, std::move(classes));
}

DatasetPointer load_fashion_mnist(const std::string& split) {
  if (!is_idx_folder(kFashionMnist)) {
    throw Error("Fashion-MNIST is not installed", {.path = kFashionMnist},
                "Debian's package dataset-fashion-mnist (apt install dataset-fashion-mnist)");
  }
  return load_idx_folder(kFashionMnist, split,
                         {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                          "Sneaker", "Bag", "Ankle boot"});
}

}  // namespace cpd
