#include "core/gpu/driver.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/files/atomic_file.h"

namespace headscope::gpu {
namespace {

using Program = void*;

constexpr int kOutOfMemory = 2;       // CUDA_ERROR_OUT_OF_MEMORY
constexpr int kMultiprocessors = 16;  // CU_DEVICE_ATTRIBUTE_…
constexpr int kComputeMajor = 75;
constexpr int kComputeMinor = 76;
constexpr int kSharedPerBlockOptIn = 97;
constexpr int kMaxDynamicShared = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

void* openFirst(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* library = dlopen(name, RTLD_LAZY | RTLD_LOCAL)) {
      return library;
    }
  }
  return nullptr;
}

void* driverLibrary() {
  static void* const library = openFirst({"libcuda.so.1"});
  return library;
}

void* compilerLibrary() {
  static void* const library = openFirst({"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"});
  return library;
}

template <typename Type>
Type symbol(void* library, const char* name) {
  const auto found = library != nullptr ? reinterpret_cast<Type>(dlsym(library, name)) : nullptr;
  if (found == nullptr) {
    throw Error("", concat("the GPU's driver or compiler has no ", name));
  }
  return found;
}

template <typename... Parameters, typename... Arguments>
int call(void* library, const char* name, Arguments... arguments) {
  return symbol<int (*)(Parameters...)>(library, name)(static_cast<Parameters>(arguments)...);
}

std::string errorText(int code) {
  const char* text = nullptr;
  if (call<int, const char**>(driverLibrary(), "cuGetErrorString", code, &text) != 0 || text == nullptr) {
    return concat("error ", code);
  }
  return text;
}

void check(int code, const char* action) {
  if (code != 0) {
    throw Error("", concat("the GPU can't ", action, ": ", errorText(code)),
                code == kOutOfMemory ? ErrorKind::Memory : ErrorKind::Input);
  }
}

int attribute(int which, int device) {
  int value = 0;
  check(call<int*, int, int>(driverLibrary(), "cuDeviceGetAttribute", &value, which, device), "tell what it is");
  return value;
}

std::string compilerLog(Program program) {
  std::size_t size = 0;
  if (call<Program, std::size_t*>(compilerLibrary(), "nvrtcGetProgramLogSize", program, &size) != 0 || size == 0) {
    return "no log";
  }
  std::string log(size, '\0');
  call<Program, char*>(compilerLibrary(), "nvrtcGetProgramLog", program, log.data());
  const std::size_t error = log.find("error");
  return log.substr(error == std::string::npos ? 0 : log.rfind('\n', error) + 1, 300);
}

}  // namespace

bool compilerThere() {
  return compilerLibrary() != nullptr;
}

Device openDevice(int index) {
  Device device;
  device.index = index;
  if (driverLibrary() == nullptr) {
    device.missing = "there is no NVIDIA driver";
    return device;
  }
  if (!compilerThere()) {
    device.missing = "NVRTC, NVIDIA's run-time compiler, was not found";
    return device;
  }
  try {
    int handle = 0;
    check(call<unsigned>(driverLibrary(), "cuInit", 0u), "be used");
    check(call<int*, int>(driverLibrary(), "cuDeviceGet", &handle, index), "be found");
    std::array<char, 256> name{};
    check(call<char*, int, int>(driverLibrary(), "cuDeviceGetName", name.data(), 255, handle), "tell its name");
    device.name = name.data();
    device.major = attribute(kComputeMajor, handle);
    device.minor = attribute(kComputeMinor, handle);
    device.multiprocessors = attribute(kMultiprocessors, handle);
    device.sharedBytes = static_cast<std::size_t>(attribute(kSharedPerBlockOptIn, handle));
    if (device.major < 8) {
      device.missing = concat(device.name, " is older than compute capability 8.0");
      return device;
    }
    check(call<void**, int>(driverLibrary(), "cuDevicePrimaryCtxRetain", &device.context, handle), "be opened");
  } catch (const Error& error) {
    device.missing = error.problem();
  }
  return device;
}

namespace {

std::vector<char> compileAnew(const char* source, const std::string& architecture,
                              const std::vector<std::string>& definitions) {
  Program program = nullptr;
  if (call<Program*, const char*, const char*, int, const char* const*, const char* const*>(
          compilerLibrary(), "nvrtcCreateProgram", &program, source, "headscope.cu", 0, nullptr, nullptr) != 0) {
    throw Error("", "NVRTC can't take the program");
  }
  std::vector<std::string> options{"--gpu-architecture=" + architecture, "--std=c++17"};
  for (const std::string& definition : definitions) {
    options.push_back("-D" + definition);
  }
  std::vector<const char*> pointers;
  for (const std::string& option : options) {
    pointers.push_back(option.c_str());
  }
  const int result = call<Program, int, const char* const*>(compilerLibrary(), "nvrtcCompileProgram", program,
                                                            static_cast<int>(pointers.size()), pointers.data());
  const std::string log = result != 0 ? compilerLog(program) : std::string();
  std::vector<char> code;
  std::size_t size = 0;
  if (result == 0 && call<Program, std::size_t*>(compilerLibrary(), "nvrtcGetCUBINSize", program, &size) == 0) {
    code.resize(size);
    call<Program, char*>(compilerLibrary(), "nvrtcGetCUBIN", program, code.data());
  }
  call<Program*>(compilerLibrary(), "nvrtcDestroyProgram", &program);
  if (code.empty()) {
    throw Error("", concat("NVRTC can't compile the GPU's program: ", log));
  }
  return code;
}

/// Where machine code is kept; empty if there is no such place.
std::filesystem::path cacheFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') {
    return std::filesystem::path(cache) / "headscope" / "kernels";
  }
  return home != nullptr && *home != '\0' ? std::filesystem::path(home) / ".cache" / "headscope" / "kernels"
                                          : std::filesystem::path();
}

/// Of everything that the machine code depends on (FNV-1a, 64 bits).
std::string cacheName(const char* source, const std::string& architecture,
                      const std::vector<std::string>& definitions) {
  int major = 0, minor = 0;
  call<int*, int*>(compilerLibrary(), "nvrtcVersion", &major, &minor);
  std::string all = concat(source, '\n', architecture, '\n', major, '.', minor);
  for (const std::string& definition : definitions) {
    all += '\n' + definition;
  }
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : all) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::ostringstream name;
  name << std::hex << hash << '-' << architecture << ".cubin";
  return name.str();
}

/// What is kept there; empty if nothing is.
std::vector<char> readKept(const std::filesystem::path& path) {
  try {
    const std::string code = std::filesystem::exists(path) ? readFile(path) : std::string();
    return {code.begin(), code.end()};
  } catch (const std::exception&) {  // costs time only
    return {};
  }
}

void keep(const std::filesystem::path& path, const std::vector<char>& code) {
  try {
    std::filesystem::create_directories(path.parent_path());
    writeFile(path, std::string_view(code.data(), code.size()));
  } catch (const std::exception&) {  // costs time only
  }
}

}  // namespace

std::vector<char> compile(const char* source, const std::string& architecture,
                          const std::vector<std::string>& definitions) {
  const std::filesystem::path folder = cacheFolder();
  const std::filesystem::path kept = folder.empty() ? folder : folder / cacheName(source, architecture, definitions);
  std::vector<char> code = folder.empty() ? std::vector<char>() : readKept(kept);
  if (code.empty()) {
    code = compileAnew(source, architecture, definitions);
    if (!folder.empty()) {
      keep(kept, code);
    }
  }
  return code;
}

void enter(const Device& device) {
  check(call<void*>(driverLibrary(), "cuCtxSetCurrent", device.context), "be used");
}

Module loadModule(const std::vector<char>& code) {
  Module module = nullptr;
  check(call<Module*, const void*>(driverLibrary(), "cuModuleLoadData", &module, code.data()), "load its program");
  return module;
}

void unloadModule(Module module) noexcept {
  try {
    call<Module>(driverLibrary(), "cuModuleUnload", module);
  } catch (const Error&) {  // the process is ending without its driver
  }
}

Function function(Module module, const char* name, std::size_t sharedBytes) {
  Function found = nullptr;
  check(call<Function*, Module, const char*>(driverLibrary(), "cuModuleGetFunction", &found, module, name),
        "find its program");
  if (sharedBytes > 0) {
    check(call<Function, int, int>(driverLibrary(), "cuFuncSetAttribute", found, kMaxDynamicShared,
                                   static_cast<int>(sharedBytes)),
          "give a block so much memory");
  }
  return found;
}

void launch(Function what, unsigned blocksX, unsigned blocksY, unsigned threads, std::size_t sharedBytes,
            void** arguments) {
  check(call<Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**>(
            driverLibrary(), "cuLaunchKernel", what, blocksX, blocksY, 1u, threads, 1u, 1u, sharedBytes, nullptr,
            arguments, nullptr),
        "start");
}

void synchronize() {
  check(call<>(driverLibrary(), "cuCtxSynchronize"), "finish");
}

Memory::Memory(std::size_t bytes) : bytes_(bytes) {
  if (bytes > 0) {
    check(call<void**>(driverLibrary(), "cuCtxGetCurrent", &context_), "be used");
    check(call<Pointer*, std::size_t>(driverLibrary(), "cuMemAlloc_v2", &pointer_, bytes), "give memory");
  }
}

Memory::~Memory() {
  if (pointer_ != 0) {
    try {
      call<void*>(driverLibrary(), "cuCtxSetCurrent", context_);
      call<Pointer>(driverLibrary(), "cuMemFree_v2", pointer_);
    } catch (const Error&) {  // nothing can be done about it here
    }
  }
}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(pointer_, other.pointer_);
  std::swap(bytes_, other.bytes_);
  std::swap(context_, other.context_);
  return *this;
}

void Memory::upload(const void* from, std::size_t bytes) {
  check(call<Pointer, const void*, std::size_t>(driverLibrary(), "cuMemcpyHtoD_v2", pointer_, from, bytes),
        "take data");
}

void Memory::download(void* to, std::size_t bytes) const {
  check(call<void*, Pointer, std::size_t>(driverLibrary(), "cuMemcpyDtoH_v2", to, pointer_, bytes), "give data back");
}

void Memory::clear(std::size_t bytes) {
  check(call<Pointer, unsigned, std::size_t>(driverLibrary(), "cuMemsetD32_v2", pointer_, 0u, bytes / 4),
        "clear memory");
}

HostBuffer::~HostBuffer() {
  if (data_ != nullptr) {
    try {
      call<void*>(driverLibrary(), "cuCtxSetCurrent", context_);
      call<void*>(driverLibrary(), "cuMemFreeHost", data_);
    } catch (const Error&) {  // nothing can be done about it here
    }
  }
}

void* HostBuffer::room(std::size_t bytes) {
  if (bytes > bytes_) {
    if (data_ != nullptr) {
      check(call<void*>(driverLibrary(), "cuMemFreeHost", data_), "free memory");
      data_ = nullptr;
      bytes_ = 0;
    }
    check(call<void**>(driverLibrary(), "cuCtxGetCurrent", &context_), "be used");
    check(call<void**, std::size_t>(driverLibrary(), "cuMemAllocHost_v2", &data_, bytes), "lock memory");
    bytes_ = bytes;
  }
  return data_;
}

}  // namespace headscope::gpu
