#pragma once

// The few functions of the CUDA driver and of NVRTC that maps and scores need, loaded when the program runs: building
// needs no CUDA, and a machine without a GPU loads nothing. For the rooms that have kernels of their own.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace headscope::gpu {

using Pointer = std::uint64_t;  ///< of device memory
using Module = void*;
using Function = void*;

/// What there is, or in `missing` why it can't be used.
struct Device {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::size_t sharedBytes = 0;  ///< that one block may ask for
  void* context = nullptr;      ///< the primary one, which LibTorch uses too
  std::string missing;
};

Device openDevice(int index);

/// Machine code of a CUDA program for `architecture` ("sm_90"). Throws Error with the compiler's first complaint.
/// Needs no GPU, only NVRTC. What was compiled once is kept in ~/.cache/headscope/kernels, if that can be written:
/// compiling takes seconds.
std::vector<char> compile(const char* source, const std::string& architecture,
                          const std::vector<std::string>& definitions);
bool compilerThere();

// All of these throw Error, of kind Memory if the device's memory doesn't suffice. enter() first, on each thread.
void enter(const Device& device);
Module loadModule(const std::vector<char>& code);
void unloadModule(Module module) noexcept;
Function function(Module module, const char* name, std::size_t sharedBytes);
void launch(Function function, unsigned blocksX, unsigned blocksY, unsigned threads, std::size_t sharedBytes,
            void** arguments);
void synchronize();

/// Device memory that frees itself, on whatever thread.
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Pointer pointer() const noexcept { return pointer_; }
  std::size_t bytes() const noexcept { return bytes_; }
  void upload(const void* from, std::size_t bytes);
  void download(void* to, std::size_t bytes) const;
  void clear(std::size_t bytes);  ///< the first of them

 private:
  Pointer pointer_ = 0;
  std::size_t bytes_ = 0;
  void* context_ = nullptr;
};

/// Host memory that the device copies to at full speed (page-locked). Grows, never shrinks.
class HostBuffer {
 public:
  HostBuffer() = default;
  ~HostBuffer();
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  /// At least `bytes`, with whatever is in it. Needs a device on this thread, see enter().
  void* room(std::size_t bytes);

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  void* context_ = nullptr;
};

}  // namespace headscope::gpu
