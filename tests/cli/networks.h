#pragma once

#include <cpd/core/file.h>
#include <cpd/exporters/export.h>
#include <cpd/model/model.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <filesystem>
#include <string>

namespace cpd::testing {

/// Writes the zoo's network for Fashion-MNIST with random statistics to a file of its own.
inline void write_network(const std::string& path, uint64_t seed = 1) {
  auto network = make_network(parse_network("zoo:fashion"), seed);
  randomise_statistics(*network, seed + 1);
  network->eval();
  export_torchscript(trace_model(network, {random_input(input({2, 1, 28, 28}), 3)}), path);
}

/// MNIST's four files with so many images of 28x28 pixels in 10 classes.
inline void write_images(const std::string& folder, int64_t count) {
  const auto number = [](int64_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
    return bytes;
  };
  const std::string rank3("\0\0\x08\x03", 4), rank1("\0\0\x08\x01", 4);
  std::string images = rank3 + number(count) + number(28) + number(28);
  std::string labels = rank1 + number(count);
  for (int64_t i = 0; i < count * 28 * 28; ++i) images += static_cast<char>(i * 37 % 251);
  for (int64_t i = 0; i < count; ++i) labels += static_cast<char>(i % 10);
  std::filesystem::create_directories(folder);
  for (const std::string stem : {"train", "t10k"}) {
    write_file(folder + "/" + stem + "-images-idx3-ubyte", images);
    write_file(folder + "/" + stem + "-labels-idx1-ubyte", labels);
  }
}

}  // namespace cpd::testing
